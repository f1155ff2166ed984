"""Every protocol on untrained weights, and what may not be evaluated."""

import json

import jax
import numpy as np
import pytest

from semppl_jax.config import loading
from semppl_jax.evaluators import corruptions, metrics
from semppl_jax.exchange import (
  run_checkpoint as run_checkpoint_lib,
  weights_dir,
)
from semppl_jax.protocols import runner, setup as setup_lib
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError
from tests.helpers import tiny
from tests.helpers.tiny import weights

DEVICES = jax.devices()[:2]


def evaluation(images, **fields):
  c = loading.load('configs/evaluate/quickstart.py').unlock()
  c.batch_size = 16
  c.data.update(
    kind='folder',
    path=str(images / 'train'),
    test_path=str(images / 'test'),
    labels='per_class:6',
  )
  c.knn.k = (1, 5)
  for recipe in (c.linear, c.finetune, c.suncet, c.baseline):
    recipe.update(
      batch_size=4,
      duration='2 epochs',
      learning_rates=(0.01,),
      weight_decays=(0.0,),
      optimizer='sgd',
    )
  c.robustness.images = 4
  c.update_from_flattened_dict(fields)
  return c.lock()


@pytest.fixture(scope='module')
def checkpoint(images, tmp_path_factory):
  path = tmp_path_factory.mktemp('weights') / 'tiny'
  weights_dir.write(path, weights(tiny.config(images), ('projector',)))
  return path


def _context(images, checkpoint, workdir, devices=DEVICES, **fields):
  config = evaluation(images, **fields)
  return setup_lib.build(config, str(checkpoint), workdir, devices)


@pytest.fixture(scope='module')
def everything(images, checkpoint, tmp_path_factory):
  """All protocols: the working directory and the result."""
  workdir = tmp_path_factory.mktemp('evaluation')
  context = _context(images, checkpoint, workdir)
  with pytest.MonkeyPatch.context() as patch:
    # Each corruption at each severity is one more pass over the images.
    patch.setattr(corruptions, 'NAMES', ('brightness', 'contrast'))
    patch.setattr(metrics, 'SEVERITIES', (1, 5))
    before = context.run.to_json(), context.weights.network.to_json()
    result = runner.run(context, 'all', False)
  # What one protocol sets for itself must not reach the next.
  assert before == (context.run.to_json(), context.weights.network.to_json())
  return workdir, result


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


def test_linear_evaluation_leaves_the_encoder_and_its_averages(
  everything, checkpoint
):
  workdir, _ = everything
  before = weights_dir.read(checkpoint)
  after = run_checkpoint_lib.read(workdir / 'linear' / 'final')
  kept = {k: after.params[k] for k in before.params if 'projector' not in k}
  tiny.assert_same(kept, {k: before.params[k] for k in kept})
  for module, group in after.net_state.items():
    tiny.assert_same(group, before.net_state[module])
  assert after.params['classifier']['w'].any()


def test_protocols_train_by_their_own_recipes(everything):
  workdir, _ = everything
  linear, tuned = (
    json.loads((workdir / name / 'final' / 'config.json').read_text())
    for name in ('linear', 'finetune')
  )
  assert linear['augment']['jitter'] == 0.0 < tuned['augment']['jitter']
  assert linear['supervised']['frozen'] and not tuned['supervised']['frozen']


def test_suncet_brings_projections_of_a_class_together(everything):
  workdir, _ = everything
  c = json.loads((workdir / 'suncet' / 'final' / 'config.json').read_text())
  assert c['method'] == 'suncet' and c['suncet']['labelled'] == 'batch'
  assert c['suncet']['contrast_weight'] == 0.0
  assert c['views']['large']['count'] == 2
  assert run_checkpoint_lib.read(workdir / 'suncet' / 'final').heads == (
    'projector',
  )


def test_suncet_needs_projections(images, checkpoint, tmp_path):
  path = tmp_path / 'headless'
  weights_dir.write(path, weights(tiny.config(images), ()))
  context = _context(images, path, tmp_path / 'evaluation')
  with pytest.raises(InputError, match=r'cannot be run: .* no projector'):
    runner.run(context, 'suncet', False)


@pytest.mark.slow
def test_a_sweep_of_suncet_is_judged_by_votes(images, checkpoint, tmp_path):
  fields = {'suncet.learning_rates': (0.01, 1e-5)}
  context = _context(images, checkpoint, tmp_path, **fields)
  result = runner.run(context, 'suncet', False)
  tried = result.content['sweeps']['suncet']['tried']
  assert all(0 <= each['held_out_top1'] <= 1 for each in tried)


def test_fine_tuning_moves_everything(everything, checkpoint):
  workdir, _ = everything
  before = weights_dir.read(checkpoint)
  after = run_checkpoint_lib.read(workdir / 'finetune' / 'final')
  assert after.heads == ('classifier',)
  assert after.class_names == tiny.CLASSES
  stem = 'tiny_res_net/~/initial_conv'
  assert (after.params[stem]['w'] != before.params[stem]['w']).any()
  averages = f'{stem.replace("conv", "batchnorm")}/~/mean_ema'
  now, then = (x.net_state[averages]['average'] for x in (after, before))
  assert (now != then).any()


def test_paws_is_fine_tuned_from_inside_its_projector(
  images, checkpoint, tmp_path
):
  """At a rate that moves nothing, so that what it starts from is seen."""
  fields = {
    'finetune.classify': 'projector_hidden',
    'finetune.learning_rates': (1e-12,),
  }
  context = _context(images, checkpoint, tmp_path, **fields)
  runner.run(context, 'finetune', False)
  before = weights_dir.read(checkpoint)
  after = run_checkpoint_lib.read(tmp_path / 'finetune' / 'final')
  assert after.heads == ('projector', 'classifier')
  first = min(
    name
    for name, leaves in after.params.items()
    if 'projector' in name and 'w' in leaves
  )
  np.testing.assert_allclose(
    after.params[first]['w'], before.params[first]['w']
  )
  hidden = before.params[first]['w'].shape[1]
  assert after.params['classifier']['w'].shape == (hidden, len(tiny.CLASSES))


def test_an_evaluation_is_not_cut_into_the_parts_of_its_run(images):
  run = tiny.config(images)
  run.accumulate = 8
  made = weights(run, ('projector',))._replace(config=run)
  mesh = mesh_lib.make_mesh(DEVICES)
  found = setup_lib.training_config(evaluation(images), made, mesh)
  assert found.accumulate == 1


def test_what_is_known_is_not_evaluated_again(
  everything, images, checkpoint, monkeypatch
):
  workdir, result = everything
  monkeypatch.setattr(runner._Weights, 'figures', None)
  again = runner.run(_context(images, checkpoint, workdir), 'all', False)
  assert again.content['protocols'] == result.content['protocols']


def test_another_evaluation_does_not_go_on_in_its_place(
  everything, images, checkpoint
):
  context = _context(images, checkpoint, everything[0], seed=1)
  with pytest.raises(InputError, match='holds an evaluation with other sett'):
    runner.run(context, 'knn', False)


def _hidden(folder):
  """A test folder whose images have no class."""
  (folder / 'unlabelled').mkdir(parents=True)
  tiny.write_images(folder / 'made')
  for path in (folder / 'made').glob('*/*.png'):
    path.rename(folder / 'unlabelled' / f'{path.parent.name}{path.name}')
  for path in (folder / 'made').iterdir():
    path.rmdir()
  (folder / 'made').rmdir()
  return folder


def test_a_test_set_that_hides_its_labels_is_refused(
  images, checkpoint, tmp_path
):
  hidden = str(_hidden(tmp_path / 'hidden'))
  with pytest.raises(InputError, match='hides its labels: all 48 are -1'):
    _context(images, checkpoint, tmp_path, **{'data.test_path': hidden})


def test_an_empty_class_is_refused(images, checkpoint, tmp_path):
  some = sorted((images / 'train' / 'dark').iterdir())
  (tmp_path / 'ids').write_text('\n'.join(f'dark/{p.name}' for p in some))
  with pytest.raises(InputError, match=r"without a labelled image.*'bright'"):
    _context(
      images, checkpoint, tmp_path, **{'data.labels': f'ids:{tmp_path}/ids'}
    )


@pytest.mark.parametrize(
  'fields, sentence',
  [
    ({'data.kind': 'run'}, "kind='run', but tiny weights is not from a run"),
    ({'data.test_path': ''}, 'There is no test set to judge by'),
    ({'images.crop': 64}, r'config\.images\.crop=64'),
    ({'held_out': 1.5}, r'config\.held_out=1\.5 must be above 0'),
    ({'finetune.optimizer': 'sdg'}, "did you mean 'sgd'"),
    ({'linear.duration': 'long'}, r"config\.linear\.duration='long'"),
    ({'finetune.classify': 'pixels'}, r'config\.finetune\.classify'),
    ({'knn.support': ('test',)}, r'config\.knn\.support'),
  ],
)
def test_impossible_settings_are_one_sentence(
  images, checkpoint, tmp_path, fields, sentence
):
  with pytest.raises(InputError, match=sentence):
    _context(images, checkpoint, tmp_path, **fields)


def test_a_protocol_without_its_data_says_what_it_needs(
  images, checkpoint, tmp_path
):
  context = _context(
    images, checkpoint, tmp_path, **{'transfer.path': str(tmp_path)}
  )
  with pytest.raises(InputError, match=r'config\.transfer\.path holds none'):
    runner.run(context, 'transfer', False)
  assert not (tmp_path / 'evaluation.json').exists()


@pytest.mark.slow
def test_a_sweep_is_judged_by_held_out_labels_and_goes_on(
  images, checkpoint, tmp_path
):
  """Also: eight devices give the figures of one."""
  fields = {
    'finetune.learning_rates': (0.01, 1e-5),
    'finetune.batch_size': 8,
    'finetune.duration': '4 epochs',
  }
  found = []
  for devices in (1, 8):
    workdir = tmp_path / str(devices)
    context = _context(
      images, checkpoint, workdir, jax.devices()[:devices], **fields
    )
    result = runner.run(context, 'finetune', devices == 1)
    sweep = result.content['sweeps']['finetune']['tried']
    assert [x['learning_rate'] for x in sweep] == [0.01, 1e-5]
    ids = {
      name: set(
        (workdir / 'finetune' / f'{name}-labels.txt').read_text().split()
      )
      for name in ('sweep-0', 'sweep-1', 'final')
    }
    assert ids['sweep-0'] == ids['sweep-1'] < ids['final']
    assert len(ids['final']) == 12 and len(ids['sweep-0']) == 10
    found.append(run_checkpoint_lib.read(workdir / 'finetune' / 'final'))
  tiny.assert_close(found[0].params, found[1].params, rtol=2e-3, atol=1e-4)
  baseline = json.loads((tmp_path / '1' / 'evaluation.json').read_text())
  assert 'finetune/top1' in baseline['protocols']['finetune']['baseline']


def test_the_program_names_a_protocol_that_is_not_there():
  with pytest.raises(loading.ConfigError, match="did you mean 'finetune'"):
    runner.check('fine_tune')
