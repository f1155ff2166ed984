"""Variants of a train step that benchmarks compare with."""

import dataclasses

import jax
import jax.numpy as jnp

from semppl_jax.methods.base import Inputs, LossResult, Method
from semppl_jax.models.network import Outputs


def networks_only(method: Method) -> Method:
  """Returns a method of the same networks and views with a minimal loss.

  The distance between the output of the last head and the target uses every
  layer in both passes, and nothing else: no memory, votes or sampling.
  """
  return dataclasses.replace(
    method, init_memory=tuple, memory_sharding=None, loss=_distance
  )


def _distance(inputs: Inputs) -> LossResult:
  """Mean squared distance to the mean target over the views, or to zero."""
  last = _last_output(inputs.online)
  center = jnp.float32(0)
  if inputs.target is not None:
    target = _last_output(inputs.target)
    if target.shape[-1] == last.shape[-1]:
      center = jnp.mean(target, axis=1, keepdims=True)
  loss = jnp.mean(jnp.square(last - center))
  if inputs.online.support is not None:
    loss += jnp.mean(jnp.square(_last_output(inputs.online.support)))
  return LossResult(loss, inputs.memory, {})


def _last_output(outputs: Outputs) -> jax.Array:
  """Output of the last head [B, V, D], or else the features."""
  heads = (
    *(outputs.logits, outputs.scores),
    *(outputs.prediction, outputs.projection),
  )
  return next((x for x in heads if x is not None), outputs.features)
