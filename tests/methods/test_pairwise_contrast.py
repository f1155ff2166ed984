"""Negatives of the contrast between views; its losses: test_semppl.py."""

import jax
import jax.numpy as jnp
import numpy as np

from semppl_jax.methods.pairwise_contrast import sample_negatives
from semppl_jax.runtime import mesh as mesh_lib

_MESH = mesh_lib.make_mesh(jax.devices()[:1])


def test_negatives_are_other_images_without_repeats():
  index = jnp.array([0, 1, 2, 3, 3, 5, 6, 7], jnp.int32)
  for seed in range(20):
    chosen = np.asarray(sample_negatives(jax.random.key(seed), index, 4, _MESH))
    for row, others in enumerate(chosen):
      assert len(set(others)) == 4
      assert index[row] not in np.asarray(index)[others]


def test_negatives_are_uniform():
  index = jnp.arange(6, dtype=jnp.int32)
  draw = jax.jit(jax.vmap(lambda k: sample_negatives(k, index, 2, _MESH)))
  chosen = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)))
  share = np.bincount(chosen[:, 0].ravel(), minlength=6) / 8000
  np.testing.assert_allclose(share, [0, *[0.2] * 5], atol=0.02)


def test_repeated_images_are_negatives_only_when_nothing_else_is_left():
  index = jnp.array([4, 4, 4, 9], jnp.int32)
  chosen = np.asarray(sample_negatives(jax.random.key(0), index, 3, _MESH))
  for row, others in enumerate(chosen):
    assert set(others) == set(range(4)) - {row}
  assert (chosen[:3, 0] == 3).all()
