"""What is computed again changes no number, and less is kept."""

import functools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from semppl_jax.models import backbones

SHORT = (
  ('resnet_tiny', 'space_to_depth', False),
  ('resnet18', 'cifar', False),
)
LONG = (
  ('wide_resnet28_2', 'cifar', False),
  ('resnet50', 'imagenet', False),
  ('resnet50', 'imagenet', True),
)
CASES = [
  pytest.param(case, marks=pytest.mark.slow if case in LONG else ())
  for case in SHORT + LONG
]


def _backbone(case, remat):
  name, stem, selective = case
  config = base.get_config().network
  config.update(
    backbone=name, stem=stem, selective_kernels=selective, remat=remat
  )
  return hk.transform_with_state(
    lambda x: backbones.make_backbone(config)(x, True, 2)
  )


@functools.cache
def _inputs(case):
  """Parameters that are away from their start, where last scales are zero."""
  # Enough pixels are left at the end for their statistics to be well-behaved.
  side = 64 if case[1] == 'imagenet' else 32
  x = jax.random.normal(jax.random.key(1), (4, side, side, 3))
  params, state = jax.jit(_backbone(case, 'none').init)(jax.random.key(0), x)
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(2), len(leaves))
  moved = [
    leaf + 0.1 * jax.random.normal(key, leaf.shape)
    for leaf, key in zip(leaves, keys, strict=True)
  ]
  return jax.tree.unflatten(tree, moved), state, x


def _loss(case, remat, state, x):
  apply = _backbone(case, remat).apply

  def loss(params):
    features, new = apply(params, state, None, x)
    return jnp.sum(features**2), new

  return loss


@functools.cache
def _value_and_grad(case, remat):
  params, state, x = _inputs(case)
  loss = _loss(case, remat, state, x)
  return jax.jit(jax.value_and_grad(loss, has_aux=True))(params)


@pytest.mark.slow
@pytest.mark.parametrize('remat', backbones.REMAT[1:])
@pytest.mark.parametrize('case', CASES, ids=str)
def test_no_number_changes(case, remat):
  got, want = _value_and_grad(case, remat), _value_and_grad(case, 'none')
  assert jax.tree.structure(got) == jax.tree.structure(want)
  # Not by element: where an activation is next to zero, rounding decides
  # whether its gradient passes.
  pairs = zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)
  errors, norms = np.array(
    [(np.linalg.norm(a - b), np.linalg.norm(b)) for a, b in pairs]
  ).T
  assert (errors <= 1e-2 * norms).all()
  assert np.linalg.norm(errors) <= 2e-3 * np.linalg.norm(norms)


def _kept(case, remat):
  """Bytes that the forward pass leaves for the backward pass."""
  params, state, x = _inputs(case)
  loss = _loss(case, remat, state, x)
  residuals = jax.eval_shape(
    lambda params: jax.vjp(loss, params, has_aux=True)[1], params
  )
  return sum(r.size * r.dtype.itemsize for r in jax.tree.leaves(residuals))


@pytest.mark.slow
@pytest.mark.parametrize('case', [SHORT[1], LONG[0]], ids=str)
def test_less_is_kept(case):
  none, blocks, dots = (_kept(case, remat) for remat in backbones.REMAT)
  assert blocks < dots < none


def test_a_network_saved_before_there_was_a_choice_keeps_everything():
  config = base.get_config().network
  with config.unlocked():
    del config.remat
  assert backbones.problems(config) == []


def test_a_policy_that_does_not_exist_is_one_sentence():
  config = base.get_config().network
  config.remat = 'all'
  assert backbones.problems(config) == [
    "config.network.remat='all' must be 'none' or 'blocks' or 'dots'."
  ]
