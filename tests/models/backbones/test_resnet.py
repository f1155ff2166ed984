"""ResNets against those of Haiku, which DeepMind's files are made with."""

import functools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from semppl_jax.models import backbones
from semppl_jax.models.backbones import resnet, sk_resnet
from semppl_jax.models.backbones.layers import Layers

DEPTHS = (18, 34, 50, 101, 152, 200)
BN = {'decay_rate': 0.9, 'eps': 1e-5}
SAME = Layers('same', BN['decay_rate'], BN['eps'])


def _ours(make):
  """Transforms a backbone with one batch-norm group."""
  return hk.transform_with_state(lambda x, training: make()(x, training, 1))


def _by_name(depth):
  config = base.get_config().network
  config.update(backbone=f'resnet{depth}', padding='same')
  return _ours(lambda: backbones.make_backbone(config))


def _haikus(depth, features):
  make = getattr(hk.nets, f'ResNet{depth}')
  return hk.transform_with_state(
    lambda x, training: make(features, bn_config=BN)(x, training)
  )


def _short(bottleneck):
  """Two networks with few blocks, ours and Haiku's, which compile fast."""
  layout = resnet.layout(50 if bottleneck else 18)
  layout = layout._replace(blocks=(2, 1, 1, 1), channels=(64, 32, 32, 48))
  ours = lambda: resnet.ResNet(
    layout,
    SAME,
    1,
    functools.partial(resnet.make_stem, 'imagenet', SAME),
    'net',
  )
  haikus = lambda x, training: hk.nets.ResNet(
    layout.blocks,
    48,
    bottleneck=bottleneck,
    channels_per_group=layout.channels,
    use_projection=(bottleneck, True, True, True),
    name='net',
  )(x, training)
  return _ours(ours), hk.transform_with_state(haikus)


def _shapes(init, size):
  x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
  # Haiku itself does not run under strict promotion.
  with jax.numpy_dtype_promotion('standard'):
    return jax.eval_shape(
      lambda key, x: init(key, x, True), jax.random.key(0), x
    )


def _random(tree, seed):
  """Values that leave no path out, as the zeros of a fresh network would."""
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    name = path[-1].key
    if name == 'w':
      fan_in = np.prod(leaf.shape[:-1])
      return rng.normal(size=leaf.shape, scale=fan_in**-0.5).astype(np.float32)
    if name == 'counter':
      return np.asarray(3, np.int32)
    return rng.uniform(0.5, 1.0, leaf.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, tree)


@pytest.mark.parametrize(
  'depth',
  [
    pytest.param(depth, marks=pytest.mark.slow if depth > 50 else ())
    for depth in DEPTHS
  ],
)
def test_names_and_shapes_are_haikus(depth):
  got_params, got_state = _shapes(_by_name(depth).init, 32)
  want_params, want_state = _shapes(_haikus(depth, 8).init, 32)
  want_params.pop(f'res_net{depth}/~/logits')
  assert got_params == want_params
  assert got_state == want_state


def _assert_same_outputs(ours, haikus, logits):
  x = np.random.default_rng(0).normal(size=(4, 40, 40, 3)).astype(np.float32)
  params, state = _random(_shapes(ours.init, 40), seed=1)
  features = next(
    v['scale'].size
    for k, v in params.items()
    if 'group_3' in k and 'shortcut_b' in k
  )
  # Logits that pass the features on.
  full = {
    **params,
    logits: {
      'w': np.eye(features, dtype=np.float32),
      'b': np.zeros(features, np.float32),
    },
  }

  @jax.jit
  def both(x):
    return [
      (
        ours.apply(params, state, None, x, training),
        haikus.apply(full, state, None, x, training),
      )
      for training in (True, False)
    ]

  with jax.numpy_dtype_promotion('standard'):
    results = both(x)
  for (got, got_state), (want, want_state) in results:
    assert np.std(want) > 0.05
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-3)
    jax.tree.map(
      lambda g, w: np.testing.assert_allclose(g, w, rtol=2e-3, atol=1e-3),
      got_state,
      want_state,
    )


@pytest.mark.parametrize('bottleneck', [False, True])
def test_outputs_of_short_networks_are_haikus(bottleneck):
  _assert_same_outputs(*_short(bottleneck), 'net/~/logits')


@pytest.mark.slow
@pytest.mark.parametrize('depth, features', [(18, 512), (50, 2048)])
def test_outputs_are_haikus(depth, features):
  _assert_same_outputs(
    _by_name(depth), _haikus(depth, features), f'res_net{depth}/~/logits'
  )


@pytest.mark.parametrize(
  'bottleneck, last', [(False, 'batchnorm_1'), (True, 'batchnorm_2')]
)
def test_last_scale_of_each_block_starts_at_zero(bottleneck, last):
  kind = resnet.layout(50 if bottleneck else 18).kind
  ours = _ours(lambda: resnet.Block(kind, SAME, 8, 1, False))
  x = jnp.zeros((1, 4, 4, 8))
  params, _ = jax.jit(lambda k: ours.init(k, x, True))(jax.random.key(0))
  for name, values in params.items():
    if 'batchnorm' in name:
      expected = 0.0 if name.endswith(f'/{last}') else 1.0
      np.testing.assert_array_equal(values['scale'], expected)


@pytest.mark.parametrize(
  'stem, size, expected',
  [('imagenet', 64, 16), ('cifar', 32, 32), ('space_to_depth', 32, 16)],
)
@pytest.mark.parametrize('family', [resnet, sk_resnet])
def test_stems_set_the_size_of_the_first_group(family, stem, size, expected):
  def run(x):
    return family.make_stem(stem, SAME, 8)(x, True, 1)

  init, apply = hk.transform_with_state(run)
  x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
  out = jax.eval_shape(
    lambda key, x: apply(*init(key, x), None, x)[0], jax.random.key(0), x
  )
  assert out.shape == (2, expected, expected, 8)
