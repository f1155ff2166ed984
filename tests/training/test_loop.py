"""Whole runs: the device count, resume, interrupts and what goes wrong."""

import json
import os
import shutil
import signal

import chex
import jax
import numpy as np
import pytest

from semppl_jax.evaluators import features
from semppl_jax.runtime import errors
from semppl_jax.training import (
  aot,
  checkpoint,
  loop,
)
from semppl_jax.training.summary import describe
from semppl_jax.training.train_step import TrainStep
from tests.helpers import tiny


def _lines(workdir):
  return [
    json.loads(line)
    for line in (workdir / 'metrics.jsonl').read_text().splitlines()
  ]


@pytest.fixture(scope='module')
def reference(images, tmp_path_factory):
  """One uninterrupted run on one device: its workdir, summary and state.

  Its step is traced once.
  """
  workdir = tmp_path_factory.mktemp('reference')
  config = tiny.config(images)
  config.eval.baselines = True
  # The trace of the loop's step; a second one raises.
  counted = chex.assert_max_traces(TrainStep.train, n=1)
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(TrainStep, 'train', counted)
    summary = loop.run(config, workdir, jax.devices()[:1])
  return workdir, summary, tiny.final_state(config, workdir, jax.devices()[:1])


def test_run_leaves_a_summary_records_and_labels(reference):
  workdir, summary, (step, state) = reference
  assert step == state.step == 8
  assert summary == json.loads((workdir / 'summary.json').read_text())
  assert 0 <= summary['knn']['knn/encoder/labelled/k5'] <= 1
  assert summary['test_images'] == 18
  for floor in ('pixels', 'untrained'):
    assert 0 <= summary['knn'][f'knn/{floor}/train/k5'] <= 1
  text = describe(summary)
  for words in ('raw pixels', 'untrained encoder', '12 labelled', 'accuracy'):
    assert words in text
  lines = [line for line in _lines(workdir) if 'loss/total' in line]
  assert [line['step'] for line in lines] == list(range(1, 9))
  for name in (
      'loss/augmentation', 'loss/semantic', 'loss/invariance_augmentation',
      'loss/invariance_semantic', 'schedule/learning_rate', 'norm/grads',
      'norm/params', 'norm/updates', 'lars/trust_ratio', 'queue/fill',
      'pseudo/agreement', 'pseudo/accuracy', 'pseudo/coverage',
      'pseudo/entropy', 'deviation/projection',
  ):  # fmt: skip
    assert np.isfinite(lines[-1][name]), name
  assert lines[-1]['images_per_second'] > 0
  assert 0 <= lines[-1]['input_wait'] <= 1
  assert len((workdir / 'labels.txt').read_text().split()) == 12
  assert list((workdir / 'tensorboard').iterdir())


def test_device_count_changes_no_number(images, reference, tmp_path):
  """Of a whole run; `contracts` has the step on eight."""
  count = 2
  config = tiny.config(images)
  loop.run(config, tmp_path, jax.devices()[:count])
  workdir, _, (_, one) = reference
  _, many = tiny.final_state(config, tmp_path, jax.devices()[:count])
  tiny.assert_close(one.memory, many.memory)
  tiny.assert_close(one.params, many.params)
  for a, b in zip(_lines(workdir), _lines(tmp_path), strict=True):
    for name in a.keys() & b.keys():
      if name.startswith(('loss/', 'pseudo/', 'queue/', 'norm/')):
        np.testing.assert_allclose(a[name], b[name], rtol=1e-3, atol=1e-5)


def test_sigterm_saves_and_the_rest_is_bit_for_bit(
  images, reference, tmp_path, monkeypatch
):
  config, devices = tiny.config(images), jax.devices()[:1]
  with monkeypatch.context() as patched:
    tiny.stop_after(patched, 3)
    assert loop.run(config, tmp_path, devices) is None
  assert tiny.final_state(config, tmp_path, devices)[0] == 3
  assert not (tmp_path / 'summary.json').exists()
  loop.run(config, tmp_path, devices)
  workdir, _, (_, straight) = reference
  tiny.assert_same(straight, tiny.final_state(config, tmp_path, devices)[1])
  timing = ('images_per_second', 'input_wait')
  strip = lambda line: {k: v for k, v in line.items() if k not in timing}
  assert [*map(strip, _lines(workdir))] == [*map(strip, _lines(tmp_path))]


@pytest.mark.slow
@pytest.mark.parametrize('step', [4, 8])
def test_what_a_signal_cuts_short_is_evaluated_later(
  images, reference, tmp_path, monkeypatch, step
):
  """The signal comes while step 4, or the last one, is being evaluated."""
  config, devices = tiny.config(images), jax.devices()[:1]
  collect, passes = features.collect, []

  def interrupted(*args, **kwargs):
    passes.append(None)
    if len(passes) == step // 2 - 1:  # Two passes an evaluation.
      os.kill(os.getpid(), signal.SIGTERM)
    return collect(*args, **kwargs)

  with monkeypatch.context() as patched:
    patched.setattr(features, 'collect', interrupted)
    assert loop.run(config, tmp_path, devices) is None
  assert tiny.final_state(config, tmp_path, devices)[0] == step
  assert not any('best' in x for x in _lines(tmp_path) if x['step'] == step)
  loop.run(config, tmp_path, devices)
  workdir, _, (_, straight) = reference
  tiny.assert_same(straight, tiny.final_state(config, tmp_path, devices)[1])
  scores = lambda root: [x for x in _lines(root) if 'best' in x]
  assert scores(workdir) == scores(tmp_path)


@pytest.mark.slow
def test_resume_on_records_with_two_streams_is_bit_for_bit(
  images, tmp_path, monkeypatch
):
  config, devices = tiny.config(images), jax.devices()[:1]
  config.data.update(
      kind='embedded', limit=400, labels='per_class:4', labelled_per_batch=4,
  )  # fmt: skip
  config.eval.full_support = False
  tiny.assert_resumes_the_same(config, tmp_path, monkeypatch, devices)


def test_sigterm_before_the_first_step_saves_nothing(
  images, tmp_path, monkeypatch
):
  compile_step = aot.compile_step

  def interrupted(*args):
    os.kill(os.getpid(), signal.SIGTERM)
    return compile_step(*args)

  monkeypatch.setattr(aot, 'compile_step', interrupted)
  config = tiny.config(images)
  assert loop.run(config, tmp_path, jax.devices()[:1]) is None
  assert not [*(tmp_path / 'checkpoints').iterdir()]
  assert not _lines(tmp_path)


@pytest.mark.slow
def test_resume_on_other_devices(images, reference, tmp_path, monkeypatch):
  config = tiny.config(images)
  with monkeypatch.context() as patched:
    tiny.stop_after(patched, 3)
    loop.run(config, tmp_path, jax.devices()[:1])
  loop.run(config, tmp_path, jax.devices()[:4])
  _, _, (_, straight) = reference
  _, moved = tiny.final_state(config, tmp_path, jax.devices()[:4])
  tiny.assert_close(straight.memory, moved.memory)
  tiny.assert_close(straight.params, moved.params)


def test_a_finished_run_does_nothing(images, reference, monkeypatch):
  workdir, summary, _ = reference
  before = (workdir / 'metrics.jsonl').stat().st_mtime_ns
  monkeypatch.setattr(loop, '_Trainer', None)  # Calling it would fail.
  again = loop.run(tiny.config(images), workdir, jax.devices()[:1])
  assert again == summary
  assert (workdir / 'metrics.jsonl').stat().st_mtime_ns == before


def test_another_config_names_the_fields(images, reference):
  workdir, _, _ = reference
  config = tiny.config(images, colors=True)
  config.semppl.temperature = 0.3
  config.log_every = '2 steps'  # May change.
  with pytest.raises(checkpoint.MismatchError) as error:
    loop.run(config, workdir, jax.devices()[:1])
  assert 'semppl.temperature was 0.2 and is 0.3' in str(error.value)
  assert 'log_every' not in str(error.value)


def test_another_label_subset_is_refused(images, reference, tmp_path):
  workdir, _, _ = reference
  config = tiny.config(images)
  ids = tmp_path / 'ids.txt'
  names = (workdir / 'labels.txt').read_text().split()
  ids.write_text('\n'.join(names[:-1]) + '\n')
  config.data.labels = f'ids:{ids}'
  with pytest.raises(checkpoint.MismatchError, match='labelled subset'):
    loop.run(config, workdir, jax.devices()[:1])


def _with_broken_images(images, root):
  """The images, three of them cut short, as a config."""
  for split in ('train', 'test'):
    shutil.copytree(images / split, root / split)
  for n in (1, 5, 9):
    path = root / 'train' / 'dark' / f'{n:02}.png'
    path.write_bytes(path.read_bytes()[:40])
  return tiny.config(root, 4)


def test_too_many_unreadable_images_stop_the_run_and_keep_its_work(
  images, tmp_path
):
  config = _with_broken_images(images, tmp_path)
  with pytest.raises(errors.InputError) as error:
    loop.run(config, tmp_path / 'run', jax.devices()[:1])
  assert 'max_corrupt=0.01' in str(error.value)
  assert 'dark/0' in str(error.value)


@pytest.mark.slow
def test_a_few_unreadable_images_are_passed_over(images, tmp_path, caplog):
  config = _with_broken_images(images, tmp_path)
  config.data.max_corrupt = 0.5
  assert loop.run(config, tmp_path / 'run', jax.devices()[:1])
  named = {r.message for r in caplog.records if 'Skipped' in r.message}
  assert {text.split(': ')[1] for text in named} == {
    f'dark/{n:02}.png' for n in (1, 5, 9)
  }
