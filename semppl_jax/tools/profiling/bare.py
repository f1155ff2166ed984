"""A method's networks alone, to hold its queue, votes and losses against."""

import dataclasses

import jax
import jax.numpy as jnp

from semppl_jax.methods.base import Inputs, LossResult, Method, no_memory
from semppl_jax.models.network import Outputs


def bare(method: Method) -> Method:
  """Returns a method of the same networks and views, with the least of losses.

  The distance between the last head's output and the target's uses every
  layer, forwards and backwards, and asks for nothing else: no memory, no votes,
  no draws.
  """
  return dataclasses.replace(
    method, init_memory=no_memory, memory_sharding=None, loss=_distance
  )


def _distance(inputs: Inputs) -> LossResult:
  """Mean squared distance to the target's mean over views, or to zero."""
  last = _last(inputs.online)
  aim = jnp.float32(0)
  if inputs.target is not None:
    goal = _last(inputs.target)
    if goal.shape[-1] == last.shape[-1]:
      aim = jnp.mean(goal, axis=1, keepdims=True)
  loss = jnp.mean(jnp.square(last - aim))
  if inputs.online.support is not None:
    loss += jnp.mean(jnp.square(_last(inputs.online.support)))
  return LossResult(loss, inputs.memory, {})


def _last(outputs: Outputs) -> jax.Array:
  """The output of the last head that there is [B, V, D]."""
  logits, scores = outputs.logits, outputs.scores
  heads = (logits, scores, outputs.prediction, outputs.projection)
  return next((x for x in heads if x is not None), outputs.features)
