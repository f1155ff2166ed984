"""Heads: names of their layers, options, and values against NumPy."""

import jax
import numpy as np

from semppl_jax.models.network import HEADS, make_network
from tests.helpers import small_network
from tests.helpers.small_network import D

VIEWS = small_network.make_views((2, 8))


def test_heads_have_the_names_of_deepminds_files():
  init = small_network.make().init
  params, _ = jax.eval_shape(init, jax.random.key(0), VIEWS)
  names = {name for name in params if name.split('/')[0] in HEADS}
  layers = ('linear', 'batch_norm', 'linear_1')
  perceptrons = {f'{h}/{layer}' for h in HEADS[:2] for layer in layers}
  assert names == {*perceptrons, 'prototypes', 'classifier'}
  head = {
    layer: {k: v.shape for k, v in params[f'projector/{layer}'].items()}
    for layer in layers
  }
  assert head == {
    'linear': {'w': (128, 12), 'b': (12,)},
    'batch_norm': {'scale': (1, 12), 'offset': (1, 12)},
    'linear_1': {'w': (12, D)},
  }


def test_a_projector_may_be_deeper():
  config = small_network.get_config()
  config.projector.update(layers=3, last_bias=True)
  network = make_network(config, heads=('projector',), bn_groups='view')
  params, _ = jax.eval_shape(network.init, jax.random.key(0), VIEWS)
  shapes = {
    k: v['w'].shape for k, v in params.items() if k.startswith('projector/lin')
  }
  assert shapes == {
    'projector/linear': (128, 12),
    'projector/linear_1': (12, 12),
    'projector/linear_2': (12, D),
  }
  assert 'b' in params['projector/linear_2']


def test_prototypes_give_cosines():
  network = small_network.make(heads=('projector', 'prototypes'))
  params, state = network.init(jax.random.key(0), VIEWS)
  kernel = np.asarray(params['prototypes']['w'])
  np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), 1.0, rtol=1e-5)
  outputs, _ = jax.jit(network.apply, static_argnums=3)(
    params, state, VIEWS, True
  )
  z = np.asarray(outputs.projection)
  z = z / np.linalg.norm(z, axis=-1, keepdims=True)
  np.testing.assert_allclose(outputs.scores, z @ kernel, rtol=1e-4, atol=1e-5)


def test_a_predictor_may_begin_with_a_batch_norm():
  config = small_network.get_config()
  config.predictor.update(input_norm=True, last_bias=True)
  network = make_network(config, heads=HEADS[:2], bn_groups='resolution')
  params, _ = jax.eval_shape(network.init, jax.random.key(0), VIEWS)
  shapes = {
    name.split('/')[1]: {k: v.shape for k, v in group.items()}
    for name, group in params.items()
    if name.startswith('predictor')
  }
  assert shapes == {
    'batch_norm': {'scale': (1, D), 'offset': (1, D)},
    'linear': {'w': (D, 7), 'b': (7,)},
    'batch_norm_1': {'scale': (1, 7), 'offset': (1, 7)},
    'linear_1': {'w': (7, D), 'b': (D,)},
  }
