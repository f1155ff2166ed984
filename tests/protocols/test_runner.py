"""Protocols on untrained weights, and their results in one file."""

import json

import pytest

from semppl_jax.config import loading
from semppl_jax.exchange import run_checkpoint, weights_dir
from semppl_jax.protocols import runner
from semppl_jax.runtime.errors import InputError
from tests.helpers import tiny
from tests.helpers.evaluations import make_context
from tests.helpers.tiny import weights


@pytest.mark.slow
def test_every_protocol_leaves_figures_in_one_file(everything):
  workdir, result = everything
  content = json.loads((workdir / 'evaluation.json').read_text())
  assert content == result.content
  assert content['labelled_images'] == 12 and content['test_images'] == 18
  assert content['settings']['seed'] == content['seed'] == 0
  for name in ('weights', 'labels', 'version', 'devices'):
    assert content[name], name
  figures = {
    name: value
    for protocol in content['protocols'].values()
    for name, value in protocol['figures'].items()
  }
  assert content['protocols'].keys() == {
    'knn', 'soft_nn', 'linear', 'finetune', 'suncet', 'robustness',
  }  # fmt: skip
  for name in (
    'knn/labelled/k1/top1',
    'knn/train/k5/top1',
    'soft_nn/projection/top1',
    'linear/sgd/top1',
    'linear/logistic/top1',
    'linear/ridge/top1',
    'finetune/top1',
    'suncet/soft_nn/projection/top1',
    'robustness/corrupted/top1',
  ):
    assert 0 <= figures[name] <= 1, name
  # Brightness tells the two classes apart.
  assert figures['linear/logistic/top1'] > 0.8
  text = result.describe()
  assert 'finetune/top1' in text and '12 labels' in text


def test_suncet_needs_projections(images, checkpoint, tmp_path):
  path = tmp_path / 'headless'
  weights_dir.write(path, weights(tiny.config(images), ()))
  context = make_context(images, path, tmp_path / 'evaluation')
  with pytest.raises(InputError, match=r'cannot be run: .* no projector'):
    runner.run(context, 'suncet', False)


@pytest.mark.slow
def test_what_is_known_is_not_evaluated_again(
  everything, images, checkpoint, monkeypatch
):
  workdir, result = everything
  for name, protocol in runner.PROTOCOLS.items():
    monkeypatch.setitem(runner.PROTOCOLS, name, protocol._replace(run=None))
  again = runner.run(make_context(images, checkpoint, workdir), 'all', False)
  assert again.content['protocols'] == result.content['protocols']


@pytest.mark.slow
def test_another_evaluation_does_not_go_on_in_its_place(
  everything, images, checkpoint
):
  context = make_context(images, checkpoint, everything[0], seed=1)
  with pytest.raises(InputError, match='holds an evaluation with other sett'):
    runner.run(context, 'knn', False)


def test_a_protocol_without_its_data_says_what_it_needs(
  images, checkpoint, tmp_path
):
  context = make_context(
    images, checkpoint, tmp_path, **{'transfer.path': str(tmp_path)}
  )
  with pytest.raises(InputError, match=r'config\.transfer\.path holds none'):
    runner.run(context, 'transfer', False)
  assert not (tmp_path / 'evaluation.json').exists()


def test_the_program_names_a_protocol_that_is_not_there():
  with pytest.raises(loading.ConfigError, match="did you mean 'finetune'"):
    runner.check('fine_tune')


@pytest.mark.slow
def test_linear_evaluation_leaves_the_encoder_and_its_averages(
  everything, checkpoint
):
  workdir, _ = everything
  before = weights_dir.read(checkpoint)
  after = run_checkpoint.read(workdir / 'linear' / 'final')
  kept = {k: after.params[k] for k in before.params if 'projector' not in k}
  tiny.assert_same(kept, {k: before.params[k] for k in kept})
  for module, group in after.net_state.items():
    tiny.assert_same(group, before.net_state[module])
  assert after.params['classifier']['w'].any()


@pytest.mark.slow
def test_protocols_train_by_their_own_recipes(everything):
  workdir, _ = everything
  linear, tuned = (
    json.loads((workdir / name / 'final' / 'config.json').read_text())
    for name in ('linear', 'finetune')
  )
  assert linear['augment']['jitter'] == 0.0 < tuned['augment']['jitter']
  assert linear['supervised']['frozen'] and not tuned['supervised']['frozen']


@pytest.mark.slow
def test_suncet_brings_projections_of_a_class_together(everything):
  workdir, _ = everything
  c = json.loads((workdir / 'suncet' / 'final' / 'config.json').read_text())
  assert c['method'] == 'suncet' and c['suncet']['labelled'] == 'batch'
  assert c['suncet']['contrast_weight'] == 0.0
  assert c['views']['large']['count'] == 2
  assert run_checkpoint.read(workdir / 'suncet' / 'final').heads == (
    'projector',
  )


@pytest.mark.slow
def test_fine_tuning_moves_everything(everything, checkpoint):
  workdir, _ = everything
  before = weights_dir.read(checkpoint)
  after = run_checkpoint.read(workdir / 'finetune' / 'final')
  assert after.heads == ('classifier',)
  assert after.class_names == tiny.CLASSES
  stem = 'tiny_res_net/~/initial_conv'
  assert (after.params[stem]['w'] != before.params[stem]['w']).any()
  averages = f'{stem.replace("conv", "batchnorm")}/~/mean_ema'
  now, then = (x.net_state[averages]['average'] for x in (after, before))
  assert (now != then).any()
