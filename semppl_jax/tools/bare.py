"""A method's networks alone, to hold its queue, votes and losses against."""

import dataclasses

import jax
import jax.numpy as jnp

from semppl_jax.methods.method import LossResult, Memory, Method
from semppl_jax.network import Outputs


def bare(method: Method) -> Method:
  """Returns a method of the same networks and views, with the least of losses.

  The distance between the last head's output and the target's uses every
  layer, forwards and backwards, and asks for nothing else: no memory, no votes,
  no draws.
  """
  return dataclasses.replace(
    method, init_memory=lambda: (), memory_sharding=(), loss=_distance
  )


def _distance(
  online: Outputs,
  target: Outputs | None,
  batch: object,
  memory: Memory,
  key: jax.Array,
) -> LossResult:
  """Mean squared distance to the target's mean over views, or to zero."""
  del batch, key
  aim = jnp.float32(0)
  if target is not None:
    aim = jnp.mean(_last(target), axis=1, keepdims=True)
  return LossResult(jnp.mean(jnp.square(_last(online) - aim)), memory, {})


def _last(outputs: Outputs) -> jax.Array:
  """The output of the last head that there is [B, V, D]."""
  return next(x for x in reversed(outputs) if x is not None)
