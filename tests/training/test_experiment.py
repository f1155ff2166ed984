"""Starting from weights, and the weights of a run."""

import jax
import pytest

from semppl_jax.exchange import load, weights_dir
from semppl_jax.models.weights import WeightsError
from semppl_jax.runtime import errors
from semppl_jax.training import experiment as experiment_lib
from tests.helpers import tiny
from tests.helpers.tiny import weights


@pytest.fixture
def stored(images, tmp_path):
  found = weights(tiny.config(images))
  weights_dir.write(tmp_path / 'weights', found)
  return tmp_path / 'weights', found


def _of(tree, head):
  return {k: v for k, v in tree.items() if k.split('/')[0] == head}


def test_a_directory_of_weights_is_read_as_it_was_written(stored):
  path, written = stored
  read = load.load(path)
  tiny.assert_same(read.params, written.params)
  tiny.assert_same(read.net_state, written.net_state)
  assert read.preprocessing == written.preprocessing
  assert read.class_names == tiny.CLASSES
  assert read.network.to_dict() == written.network.to_dict()
  with pytest.raises(WeightsError, match='already holds weights'):
    weights_dir.write(path, written)


def test_online_and_target_network_start_from_the_weights(images, stored):
  path, written = stored
  config = tiny.config(images)
  config.init_from = str(path)
  experiment = experiment_lib.build(config, jax.devices()[:1])
  state = jax.device_get(experiment_lib.initial_state(experiment))
  tiny.assert_same(state.params, written.params)
  tiny.assert_same(state.net_state, written.net_state)
  target = {k: v for k, v in written.params.items() if 'predictor' not in k}
  tiny.assert_same(state.target_params, target)
  assert state.step == 0
  fresh = jax.device_get(experiment_lib.untrained_state(experiment))
  assert any(
    (a != b).any()
    for a, b in zip(
      jax.tree.leaves(fresh.params),
      jax.tree.leaves(state.params),
      strict=True,
    )
  )


def test_only_heads_that_are_named_are_taken(images, stored):
  path, written = stored
  config = tiny.config(images)
  config.init_from, config.init_heads = str(path), ()
  experiment = experiment_lib.build(config, jax.devices()[:1])
  state, fresh = (
    jax.device_get(make(experiment))
    for make in (experiment_lib.initial_state, experiment_lib.untrained_state)
  )
  for head in ('projector', 'predictor'):
    tiny.assert_same(_of(state.params, head), _of(fresh.params, head))
  encoder = {k: v for k, v in state.params.items() if k.startswith('tiny')}
  tiny.assert_same(encoder, {k: written.params[k] for k in encoder})


def _no_path(path):
  return path.parent / 'elsewhere'


def _empty(path):
  (path.parent / 'empty').mkdir()
  return path.parent / 'empty'


def _torn(path):
  (path / 'weights.json').write_text('{"network": {')
  return path


@pytest.mark.parametrize(
  'change, sentence',
  [
    (_no_path, 'elsewhere not found'),
    (_empty, 'neither a run .* nor a directory of weights'),
    (_torn, 'is damaged'),
  ],
)
def test_weights_that_cannot_be_read_are_named(
  images, stored, change, sentence
):
  config = tiny.config(images)
  config.init_from = str(change(stored[0]))
  with pytest.raises(errors.InputError, match=f'init_from=.*{sentence}'):
    experiment_lib.build(config)


@pytest.mark.parametrize(
  ('field', 'value'), [('width', 2), ('padding', 'same'), ('bn_eps', 1e-3)]
)
def test_another_encoder_is_refused_with_the_fields_to_set(
  images, stored, field, value
):
  config = tiny.config(images)
  config.init_from = str(stored[0])
  right = config.network[field]
  config.network[field] = value
  sentence = rf'are of resnet_tiny.* set --config.network.{field}={right}\.'
  with pytest.raises(errors.InputError, match=sentence):
    experiment_lib.build(config)


def test_another_normalization_is_said(images, stored, caplog):
  config = tiny.config(images)
  config.init_from = str(stored[0])
  config.augment.mean = (0.1, 0.2, 0.3)
  experiment_lib.build(config)
  assert 'config.augment.mean=(0.1, 0.2, 0.3)' in caplog.text
  assert '--config.augment.mean="(0.5, 0.5, 0.5)"' in caplog.text
