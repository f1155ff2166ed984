"""Selective kernels against their definition."""

import haiku as hk
import jax
import numpy as np
import pytest

from semppl_jax.models.backbones import sk_resnet
from semppl_jax.models.backbones.layers import Layers

TORCH = Layers('torch', 0.9, 1e-5)
CHANNELS = 6


def _layer(x, is_training):
  return sk_resnet.SelectiveKernel(TORCH, CHANNELS, 1, 'sk')(x, is_training, 1)


def test_streams_are_mixed_by_a_softmax():
  x = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype(np.float32)
  layer = hk.transform_with_state(_layer)
  shapes = jax.eval_shape(
    lambda key, x: layer.init(key, x, True), jax.random.key(0), x
  )
  rng = np.random.default_rng(1)
  params, state = jax.tree.map(
    lambda s: rng.normal(size=s.shape).astype(s.dtype), shapes
  )
  for name, values in params.items():
    if 'batchnorm' in name:
      values['scale'], values['offset'] = (
        np.full_like(values['scale'], v) for v in (1.0, 0.0)
      )
  got, _ = jax.jit(lambda x: layer.apply(params, state, None, x, True))(x)

  def norm(y):
    axes = tuple(range(y.ndim - 1))
    return (y - y.mean(axes)) / np.sqrt(y.var(axes) + 1e-5)

  conv = lambda name: np.asarray(params[f'sk/~/{name}_conv']['w'])
  padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
  y = sum(
    padded[:, i : i + 4, j : j + 4] @ conv('streams')[i, j]
    for i in range(3)
    for j in range(3)
  )
  streams = np.stack(np.split(np.maximum(norm(y), 0.0), 2, axis=-1))
  pooled = streams.sum(0).mean((1, 2))
  hidden = np.maximum(norm(pooled @ conv('squeeze')[0, 0]), 0.0)
  logits = np.stack(np.split(hidden @ conv('expand')[0, 0], 2, axis=-1))
  weights = np.exp(logits) / np.exp(logits).sum(0)
  want = (streams * weights[:, :, None, None]).sum(0)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('channels, hidden', [(64, 32), (512, 32), (1024, 64)])
def test_hidden_size_of_the_attention(channels, hidden):
  layer = hk.transform_with_state(
    lambda x: sk_resnet.SelectiveKernel(TORCH, channels, 1, 'sk')(x, True, 1)
  )
  x = jax.ShapeDtypeStruct((2, 4, 4, 8), np.float32)
  params, _ = jax.eval_shape(layer.init, jax.random.key(0), x)
  assert params['sk/~/squeeze_conv']['w'].shape == (1, 1, channels, hidden)
