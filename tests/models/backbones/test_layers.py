"""Convolutions, pooling and space-to-depth against plain NumPy loops."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.models.backbones import layers, sk_resnet

TORCH = layers.Layers('torch', 0.9, 1e-5)
SAME = layers.Layers('same', 0.9, 1e-5)


def _images(size, channels=2, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(2, size, size, channels)).astype(np.float32)


def _windows(x, kernel, stride, pad, fill):
  """Yields (i, j, [N, k, k, C]) with `pad` = (before, after) pixels."""
  x = np.pad(x, [(0, 0), pad, pad, (0, 0)], constant_values=fill)
  count = (x.shape[1] - kernel) // stride + 1
  for i in range(count):
    for j in range(count):
      top, left = i * stride, j * stride
      yield i, j, x[:, top : top + kernel, left : left + kernel]


def _reduce(x, kernel, stride, pad, fill, reduction):
  cells = {
    (i, j): reduction(window)
    for i, j, window in _windows(x, kernel, stride, pad, fill)
  }
  count = 1 + max(i for i, _ in cells)
  rows = [[cells[i, j] for j in range(count)] for i in range(count)]
  return np.stack([np.stack(row, 1) for row in rows], 1)


def _run(fn, x, seed=0):
  init, apply = hk.transform(fn)
  params = init(jax.random.key(seed), jnp.asarray(x))
  return params, apply(params, None, jnp.asarray(x))


@pytest.mark.parametrize('size', [1, 2, 4, 9])
@pytest.mark.parametrize('kernel, stride', [(7, 2), (3, 2), (3, 1), (1, 2)])
def test_torch_convolution_pads_both_sides_alike(kernel, stride, size):
  x = _images(size)
  conv = lambda x: TORCH.conv(3, kernel, stride, name='conv')(x)
  params, got = _run(conv, x)
  w = np.asarray(params['conv']['w'])
  want = _reduce(
    x,
    kernel,
    stride,
    ((kernel - 1) // 2,) * 2,
    0.0,
    lambda window: np.einsum('nijc,ijcd->nd', window, w),
  )
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_same_convolution_pads_later_sides():
  x = _images(8)
  params, got = _run(lambda x: SAME.conv(3, 3, 2, name='conv')(x), x)
  w = np.asarray(params['conv']['w'])
  want = _reduce(
    x, 3, 2, (0, 1), 0.0, lambda v: np.einsum('nijc,ijcd->nd', v, w)
  )
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('size', [8, 9])
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_torch_max_pool_pads_with_minus_infinity(size, dtype):
  x = jnp.asarray(_images(size) - 5.0, dtype)
  got = TORCH.max_pool(x)
  want = _reduce(
    np.asarray(x, np.float32),
    3,
    2,
    (1, 1),
    -np.inf,
    lambda window: window.max((1, 2)),
  )
  assert got.dtype == x.dtype
  np.testing.assert_array_equal(np.asarray(got, np.float32), want)


def test_same_max_pool_is_haikus():
  x = jnp.asarray(_images(8))
  want = hk.max_pool(x, (1, 3, 3, 1), (1, 2, 2, 1), 'SAME')
  np.testing.assert_array_equal(SAME.max_pool(x), want)


@pytest.mark.parametrize('stride, after', [(1, 1), (2, 0)])
def test_pooled_shortcut_averages_real_pixels(stride, after):
  x = _images(6)

  def shortcut(x):
    layer = sk_resnet.SELECTIVE.shortcut(TORCH, 3, stride)
    return layer(x, True, 1)

  init, apply = hk.transform_with_state(shortcut)
  params, state = init(jax.random.key(0), jnp.asarray(x))
  got, _ = apply(params, state, None, jnp.asarray(x))
  pooled = _reduce(
    x, 2, stride, (0, after), np.nan, lambda v: np.nanmean(v, (1, 2))
  )
  y = pooled @ np.asarray(params['shortcut_conv']['w'])[0, 0]
  want = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_space_to_depth_by_loops():
  x = _images(6, channels=3)
  got = layers.space_to_depth(jnp.asarray(x))
  assert got.shape == (2, 3, 3, 12)
  for i in range(6):
    for j in range(6):
      first = 3 * (2 * (i % 2) + j % 2)
      np.testing.assert_array_equal(
        got[:, i // 2, j // 2, first : first + 3], x[:, i, j]
      )


def test_space_to_depth_refuses_odd_sizes():
  with pytest.raises(ValueError, match=r"'space_to_depth'.*got 9 x 9"):
    layers.space_to_depth(jnp.asarray(_images(9)))


def test_global_mean_is_float32():
  x = jnp.ones((1, 40, 40, 1), jnp.bfloat16).at[0, 0, 0].set(100.0)
  got = layers.global_mean(x)
  assert got.dtype == np.float32
  np.testing.assert_allclose(got[0, 0], (1599 + 100) / 1600, rtol=1e-6)
