"""Convolutions, those to small maps included, against Haiku's."""

import chex
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from semppl_jax.models.backbones import layers

PADDINGS = ['SAME', ((1, 1), (1, 1))]


def _pair(padding, stride, with_bias):
  def ours(x):
    layer = layers.Conv2D(4, 3, stride, padding, with_bias, 'conv')
    return layer(jnp.asarray(x))

  def haikus(x):
    layer = hk.Conv2D(
      4, 3, stride, padding=padding, with_bias=with_bias, name='conv'
    )
    return layer(x)

  return [hk.without_apply_rng(hk.transform(f)) for f in (ours, haikus)]


@pytest.mark.parametrize('padding', PADDINGS, ids=['same', 'torch'])
@pytest.mark.parametrize('stride, with_bias', [(1, True), (2, False)])
@pytest.mark.parametrize('shape', [(1, 1), (2, 2), (2, 1), (3, 4), (2, 5)])
def test_weights_results_and_gradients_are_haikus(
  padding, stride, with_bias, shape
):
  ours, haikus = _pair(padding, stride, with_bias)
  rng = np.random.default_rng(0)
  x = rng.normal(size=(3, *shape, 5)).astype(np.float32)
  weights = ours.init(jax.random.key(1), x)
  want = haikus.init(jax.random.key(1), x)
  jax.tree.map(np.testing.assert_array_equal, weights, want)
  out = haikus.apply(weights, x)
  above = rng.normal(size=out.shape).astype(np.float32)
  np.testing.assert_allclose(ours.apply(weights, x), out, rtol=1e-5, atol=1e-6)
  got, expected = (
    jax.grad(lambda w, x, f=f: jnp.sum(f.apply(w, x) * above), (0, 1))(
      weights, x
    )
    for f in (ours, haikus)
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
    got,
    expected,
  )


@pytest.mark.parametrize('size, product', [(2, True), (3, False)])
def test_small_maps_are_products(size, product):
  x = jnp.ones((1, size, size, 2))
  ours, _ = _pair('SAME', 1, with_bias=False)
  weights = ours.init(jax.random.key(0), x)
  text = jax.jit(ours.apply).lower(weights, x).as_text()
  assert ('stablehlo.convolution' not in text) == product
  # In bfloat16 the result is one too, as a convolution's.
  half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (weights, x))
  assert ours.apply(*half).dtype == jnp.bfloat16


@pytest.mark.parametrize('padding', ['SAME', ((1, 2), (2, 3))])
@pytest.mark.parametrize('shape', [(7, 8), (3, 2), (2, 1)])
@pytest.mark.parametrize(('kernel', 'stride'), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_depthwise_taps_are_a_convolution(kernel, stride, shape, padding):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *shape, 3)).astype(np.float32)
  weights = rng.normal(size=(kernel, kernel, 1, 3)).astype(np.float32)

  def both(make):
    loss = lambda x, w: jnp.sum(jnp.sin(make(x, w, stride, padding)))
    value = jax.jit(lambda x, w: make(x, w, stride, padding))(x, weights)
    return value, *jax.jit(jax.grad(loss, argnums=(0, 1)))(x, weights)

  chex.assert_trees_all_close(
    both(layers.convolve_by_taps),
    both(layers.convolve_depthwise),
    rtol=1e-5,
    atol=1e-5,
  )


def test_depthwise_kernels_are_those_of_haiku():
  x = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype(np.float32)
  theirs = hk.transform(
    lambda x: hk.DepthwiseConv2D(1, 3, with_bias=False, name='conv')(x)
  )
  ours = hk.transform(
    lambda x: layers.DepthwiseConv2D(3, 1, 'SAME', 'conv')(jnp.asarray(x))
  )
  params = theirs.init(jax.random.key(0), x)
  assert jax.tree.map(jnp.shape, params) == jax.tree.map(
    jnp.shape, ours.init(jax.random.key(0), x)
  )
  np.testing.assert_allclose(
    jax.jit(ours.apply)(params, None, x),
    jax.jit(theirs.apply)(params, None, x),
    rtol=1e-5,
    atol=1e-5,
  )
