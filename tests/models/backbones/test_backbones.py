"""The laws of every line of the table."""

import functools
import hashlib
import json
import os
import pathlib

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from semppl_jax.models import backbones
from semppl_jax.models.backbones import efficientnet_lite, resnet, sk_resnet
from semppl_jax.models.backbones.layers import Layers

GOLDEN = pathlib.Path(__file__).parents[2] / 'golden' / 'backbones.json'
REGENERATE = (
  'REGENERATE_GOLDEN=1 python -m pytest'
  ' tests/models/backbones/test_backbones.py'
)
STEMS = {'wide_resnet28_2': 'cifar', 'resnet_tiny': 'space_to_depth'}
LITE = tuple(f'efficientnet_lite{size}' for size in range(5))
DEEP = ('resnet34', 'resnet101', 'resnet152', 'resnet200', *LITE[1:])
LONG = DEEP[1:]  # To trace.


def _soon(*cases):
  """Cases (name, ...), those of long networks for the long tests."""
  return [
    pytest.param(*case, marks=pytest.mark.slow if case[0] in LONG else ())
    for case in cases
  ]


CASES = _soon(
  *((name, False) for name in backbones.NAMES),
  *((f'resnet{depth}', True) for depth in sk_resnet.DEPTHS),
)


def _config(name, selective=False, **fields):
  config = base.get_config().network
  config.update(backbone=name, selective_kernels=selective)
  config.stem = STEMS.get(name, 'imagenet')
  config.update(fields)
  return config


def _transformed(make):
  return hk.transform_with_state(lambda x, training: make()(x, training, 2))


@functools.cache
def _traced(name, selective, width=1):
  """Returns shapes of (params, state, features) without computing any."""
  config = _config(name, selective, width=width)
  init, apply = _transformed(lambda: backbones.make_backbone(config))

  def run(key, x):
    params, state = init(key, x, True)
    return params, state, apply(params, state, None, x, True)[0]

  x = jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.float32)
  return jax.eval_shape(run, jax.random.key(0), x)


def _count(params):
  return sum(x.size for x in jax.tree.leaves(params))


def _described(name, selective):
  """Shapes by path; of the deep networks, which repeat blocks, a digest."""
  params, state, _ = _traced(name, selective)
  modules = {
    module: ' '.join(
      f'{leaf}:{"x".join(map(str, x.shape)) or "scalar"}'
      for leaf, x in sorted(leaves.items())
    )
    for module, leaves in {**params, **state}.items()
  }
  if name in DEEP:
    text = json.dumps(modules, sort_keys=True)
    modules = hashlib.sha256(text.encode()).hexdigest()
  return {'count': _count(params), 'modules': modules}


def _key(name, selective):
  return f'{name}{" selective_kernels" if selective else ""}'


@pytest.mark.parametrize('name, selective', CASES)
def test_names_shapes_and_counts_are_golden(name, selective):
  golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
  got, key = _described(name, selective), _key(name, selective)
  if os.environ.get('REGENERATE_GOLDEN'):
    golden[key] = got
    GOLDEN.write_text(json.dumps(golden, indent=0, sort_keys=True) + '\n')
  assert got == golden.get(key), (
    f'The parameters of {key} changed, so older checkpoints no longer load. '
    f'If that is meant, store the new ones with: {REGENERATE}'
  )


@pytest.mark.parametrize('name, selective', CASES)
def test_every_backbone_gives_float32_features(name, selective):
  params, state, features = _traced(name, selective)
  assert features.shape[0] == 4 and features.ndim == 2
  dtypes = {x.dtype for x in jax.tree.leaves((params, features))}
  assert dtypes == {jnp.dtype('float32')}
  assert jax.tree.leaves(state)


@pytest.mark.parametrize(
  'name, selective',
  [case for case in CASES if case.values[0] not in (*DEEP, *LITE)],
)
def test_width_multiplies_the_features(name, selective):
  features = [_traced(name, selective, width)[2] for width in (1, 2)]
  assert features[1].shape[1] == 2 * features[0].shape[1]


@pytest.mark.parametrize(
  'name, width, count',
  _soon(
    # torchvision's counts less its classifier.
    ('resnet18', 1, 11_689_512 - 513_000),
    ('resnet34', 1, 21_797_672 - 513_000),
    ('resnet50', 1, 25_557_032 - 2_049_000),
    ('resnet101', 1, 44_549_160 - 2_049_000),
    ('resnet152', 1, 60_192_808 - 2_049_000),
    ('resnet_tiny', 1, 305_888),
    # timm's less its classifier.
    ('efficientnet_lite0', 1, 4_652_008 - 1_281_000),
    ('efficientnet_lite1', 1, 5_416_680 - 1_281_000),
    ('efficientnet_lite2', 1, 6_092_072 - 1_281_000),
    ('efficientnet_lite3', 1, 8_197_096 - 1_281_000),
    ('efficientnet_lite4', 1, 13_006_568 - 1_281_000),
  ),
)
def test_counts_known_from_elsewhere(name, width, count):
  assert _count(_traced(name, False, width)[0]) == count


@pytest.mark.parametrize(
  'name, selective, width, millions',
  _soon(
    # arXiv 2006.10029, table 1.
    ('resnet50', False, 1, 24),
    ('resnet50', False, 2, 94),
    ('resnet50', True, 1, 35),
    ('resnet50', True, 2, 140),
    ('resnet101', True, 1, 65),
    ('resnet101', True, 2, 257),
    ('resnet152', True, 1, 89),
    ('resnet152', True, 2, 354),
    # arXiv 2006.07733, table 1.
    ('resnet50', False, 4, 375),
    ('resnet200', False, 2, 250),
  ),
)
def test_counts_of_the_papers(name, selective, width, millions):
  count = _count(_traced(name, selective, width)[0])
  assert abs(count / 1e6 - millions) < 1


def test_count_of_wide_resnet():
  params = _traced('wide_resnet28_2', False)[0]
  biases = _count([v['b'] for v in params.values() if 'b' in v])
  # arXiv 1605.07146 has no biases, and a classifier of ten classes.
  assert _count(params) - biases + 1290 == 1_467_610


SHORT = Layers('torch', 0.9, 1e-5)


def _short(layout, family):
  layout = layout._replace(blocks=(1, 1), channels=(64, 16))
  stem = functools.partial(family.make_stem, 'imagenet', SHORT)
  return resnet.ResNet(layout, SHORT, 1, stem, 'short')


SMALL = {
  'resnet_tiny': lambda: backbones.make_backbone(_config('resnet_tiny')),
  'wide_resnet28_2': lambda: backbones.make_backbone(
    _config('wide_resnet28_2')
  ),
  'basic': lambda: _short(resnet.layout(18), resnet),
  'bottleneck': lambda: _short(resnet.layout(50), resnet),
  'selective': lambda: _short(sk_resnet.layout(50), sk_resnet),
  'inverted': lambda: efficientnet_lite.InvertedResidual(
    SHORT, efficientnet_lite.Stage(1, 3, 1, 6, 3), 1, 3, 'inverted'
  ),
}


@pytest.mark.parametrize('name', SMALL)
def test_gradient_reaches_every_parameter(name):
  net = _transformed(SMALL[name])
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(8, 16, 16, 3)), jnp.float32)
  params, state = jax.eval_shape(
    lambda key: net.init(key, x, True), jax.random.key(0)
  )
  state = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), state)
  # Not zero, as the last scale of a fresh block is: it would hold back the
  # gradient of what lies below.
  params = jax.tree.map(
    lambda p: rng.normal(size=p.shape, scale=0.2).astype(np.float32), params
  )

  @jax.jit
  def gradient(params):
    loss = lambda p: jnp.sum(jnp.square(net.apply(p, state, None, x, True)[0]))
    return jax.grad(loss)(params)

  for path, grad in jax.tree_util.tree_leaves_with_path(gradient(params)):
    assert np.isfinite(grad).all() and np.any(grad), path


def test_unknown_name_tells_the_nearest():
  with pytest.raises(
    ValueError, match=r"network\.backbone.*'resnet5'.*mean 'resnet50'"
  ):
    backbones.check(_config('resnet5'))


@pytest.mark.parametrize(
  'name, fields, message',
  [
    ('resnet50', {'width': 3}, r'network\.width.*3.* 1 or 2 or 4'),
    ('resnet50', {'padding': 'valid'}, r"network\.padding.*'torch' or 'same'"),
    ('resnet50', {'stem': 'x'}, r"network\.stem.*'x'.*'cifar'"),
    (
      'resnet_tiny',
      {'stem': 'imagenet'},
      r"stem.*'imagenet'.* be 'space_to_depth'",
    ),
    ('wide_resnet28_2', {'stem': 'imagenet'}, r"stem.*'imagenet'.* be 'cifar'"),
    ('resnet18', {'selective_kernels': True}, r'selective_kernels.*be False'),
    ('efficientnet_lite0', {'width': 2}, r'network\.width.*2.* be 1 where'),
  ],
)
def test_what_is_not_made_is_named(name, fields, message):
  with pytest.raises(ValueError, match=message):
    backbones.check(_config(name, **fields))
