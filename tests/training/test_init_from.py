"""Starting from weights, and the weights of a run."""

import jax
import numpy as np
import pytest
import tiny

from semppl_jax import job as job_lib, train
from semppl_jax.exchange import load, store
from semppl_jax.network import make_network
from semppl_jax.weights import Preprocessing, Weights, WeightsError


def weights(config, heads=('projector', 'predictor'), seed=5) -> Weights:
  """Untrained weights of a config's network, with averages that are not 0."""
  network = make_network(config.network, heads=heads, bn_groups='view')
  size = config.views.large.size
  views = (jax.numpy.zeros((2, 1, size, size, 3)),)
  params, state = jax.device_get(network.init(jax.random.key(seed), views))
  rng = np.random.default_rng(seed)

  def fill(path, x):
    if np.issubdtype(x.dtype, np.integer):
      return np.full_like(x, 10**6)
    low, high = (0.5, 1.5) if 'var_ema' in path[0].key else (-0.1, 0.1)
    return rng.uniform(low, high, x.shape).astype(x.dtype)

  return Weights(
    network=config.network,
    params=params,
    net_state=jax.tree_util.tree_map_with_path(fill, state),
    preprocessing=Preprocessing(8, 8, 'bilinear', (0.5,) * 3, (0.5,) * 3),
    class_names=tiny.CLASSES,
    origin='tiny weights',
  )


@pytest.fixture
def stored(images, tmp_path):
  found = weights(tiny.config(images))
  store.write(tmp_path / 'weights', found)
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
  with pytest.raises(WeightsError, match='holds weights already'):
    store.write(path, written)


def test_online_and_target_network_start_from_the_weights(images, stored):
  path, written = stored
  config = tiny.config(images)
  config.init_from = str(path)
  job = job_lib.build(config, jax.devices()[:1])
  state = jax.device_get(train.initial_state(job))
  tiny.assert_same(state.params, written.params)
  tiny.assert_same(state.net_state, written.net_state)
  target = {k: v for k, v in written.params.items() if 'predictor' not in k}
  tiny.assert_same(state.target_params, target)
  assert state.step == 0
  fresh = jax.device_get(train.untrained_state(job))
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
  job = job_lib.build(config, jax.devices()[:1])
  state, fresh = (
    jax.device_get(make(job))
    for make in (train.initial_state, train.untrained_state)
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
    (_no_path, 'elsewhere does not exist'),
    (_empty, 'is no run .* and holds no weights'),
    (_torn, 'is damaged'),
  ],
)
def test_weights_that_cannot_be_read_are_named(
  images, stored, change, sentence
):
  config = tiny.config(images)
  config.init_from = str(change(stored[0]))
  with pytest.raises(job_lib.InputError, match=f'init_from=.*{sentence}'):
    job_lib.build(config)


def test_another_architecture_is_refused_with_its_shapes(images, stored):
  config = tiny.config(images)
  config.network.width = 2
  config.init_from = str(stored[0])
  sentence = r'conv_0/w has shape \(.*\) \(expected \(.*\)\)'
  with pytest.raises(job_lib.InputError, match=sentence):
    job_lib.build(config)
