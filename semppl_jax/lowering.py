"""The train step as shapes: to trace, to compile and to restore into."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import ml_collections

from semppl_jax import mesh as mesh_lib
from semppl_jax.batch import Batch
from semppl_jax.step import Step


def state_like(step: Step) -> Any:
  """Shapes of a step's train state, with the shardings that it should have."""
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    jax.eval_shape(step.init),
    step.state_sharding,
  )


def batch_like(config: ml_collections.ConfigDict, mesh: Mesh) -> Batch:
  """Shapes of one batch [B, ...] without masks, split over the devices."""
  rows = mesh_lib.sharded(mesh)

  def array(kind: Any, *shape: int) -> jax.ShapeDtypeStruct:
    shape = (config.batch_size, *shape)
    return jax.ShapeDtypeStruct(shape, kind, sharding=rows)

  def crops(view: ml_collections.ConfigDict) -> jax.ShapeDtypeStruct:
    return array(jnp.uint8, view.count, view.size, view.size, 3)

  number = array(jnp.int32)
  views = config.views
  return Batch(crops(views.large), crops(views.small), number, number, number)


def lower(step: Step, state: Any, batch: Any, mesh: Mesh) -> jax.stages.Lowered:
  """Traces the step as a run compiles it: the state donated, its layout kept.

  Args:
    step: the step.
    state: a train state, or its shapes with shardings.
    batch: a batch, or likewise.
    mesh: the devices.
  """
  shardings = step.state_sharding, mesh_lib.replicated(mesh)
  jitted = jax.jit(step.train, donate_argnums=0, out_shardings=shardings)
  return jitted.lower(state, batch)
