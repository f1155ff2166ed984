"""The train step as shapes: to trace, to compile and to restore into."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import ml_collections

from semppl_jax.data.batch import Batch, Support
from semppl_jax.data.canvas import Canvas, Uncut, UncutSupport
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.training.train_step import Step


def state_like(step: Step) -> Any:
  """Shapes of a step's train state, with the shardings that it should have."""
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    jax.eval_shape(step.init),
    step.state_sharding,
  )


def batch_like(
  config: ml_collections.ConfigDict, mesh: Mesh, support: bool = False
) -> Batch | Uncut:
  """Shapes of one batch [B, ...], split over the devices.

  With the masks of `config.data.saliency`, not those of records.

  Args:
    config: the run's config.
    mesh: the devices.
    support: whether labelled rows come with it, as `Method.support` says.
  """
  rows = mesh_lib.sharded(mesh)

  def array(kind: Any, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, kind, sharding=rows)

  def crops(count: int, views: int, size: int) -> jax.ShapeDtypeStruct:
    return array(jnp.uint8, count, views, size, size, 3)

  def canvas(count: int, masked: bool) -> Canvas:
    height, width = config.data.canvas
    return Canvas(
      image=array(jnp.uint8, count, height, width, 3),
      extent=array(jnp.int32, count, 2),
      mask=array(jnp.uint8, count, height, width) if masked else None,
      turned=array(jnp.bool_, count),
    )

  large, small, s = config.views.large, config.views.small, config.support
  batch, labelled = config.batch_size, s.classes_per_batch * s.images_per_class
  number, column = (array(jnp.int32, n) for n in (batch, labelled))
  masked = bool(config.data.saliency and config.saliency.probability)
  mask = beside = None
  if config.data.crops == 'device':
    if support:
      beside = UncutSupport(canvas(labelled, False), column, column, column)
    return Uncut(canvas(batch, masked), number, number, number, beside)
  if masked:
    mask = array(jnp.uint8, batch, large.count, large.size, large.size)
  if support:
    images = crops(labelled, s.views, large.size)
    beside = Support(images, column, column, column)
  return Batch(
    large=crops(batch, large.count, large.size),
    small=crops(batch, small.count, small.size),
    label=number,
    index=number,
    diagnostic_label=number,
    mask=mask,
    support=beside,
  )


def lower(step: Step, state: Any, batch: Any) -> jax.stages.Lowered:
  """Traces the step as a run compiles it: the state donated, its layout kept.

  Args:
    step: the step.
    state: a train state, or its shapes with shardings.
    batch: a batch, or likewise.
  """
  # Metrics lie as the step has them: scalars whole, those of rows by rows.
  shardings = step.state_sharding, None
  jitted = jax.jit(step.train, donate_argnums=0, out_shardings=shardings)
  return jitted.lower(state, batch)
