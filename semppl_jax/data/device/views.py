"""From what a run is fed with to the views of a step.

The host may cut them; or send whole images, of which the step cuts them; or
send the train set once, of which the step takes its rows as well. All three
become a `Batch`, by what they are.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import ml_collections
import numpy as np

from semppl_jax.data import batch_layout
from semppl_jax.data.batch import Batch, Support
from semppl_jax.data.canvas import Canvas, Pool, Uncut, UncutSupport
from semppl_jax.data.device import random_resized_crop, resize, sampling
from semppl_jax.runtime import mesh as mesh_lib

Array = jax.Array
Views = Callable[..., Batch]

# Images are numbered below it, so that slots draw numbers of their own.
_FIRST_SLOT = np.uint32(2**31)


def make(config: ml_collections.ConfigDict, mesh: Mesh) -> Views:
  """Builds `(given, key, step) -> Batch`, pure.

  Args:
    config: the run's config.
    mesh: the devices, which split the rows.

  Returns:
    A function of a `Pool`, an `Uncut` or a `Batch`, which stays as it is; of a
    key of its own; and of the steps before this one.
  """
  take, cut = _make_take(config, mesh), _make_cut(config)

  def views(given: Pool | Uncut | Batch, key: Array, step: Array) -> Batch:
    take_key, cut_key = jax.random.split(key)
    if isinstance(given, Pool):
      given = take(given, take_key, step)
    if isinstance(given, Uncut):
      given = cut(given, cut_key, step)
    return given

  return views


def _make_cut(config: ml_collections.ConfigDict) -> Views:
  """Builds what cuts the views of whole images, and of the support's."""
  groups = config.views.large, config.views.small
  kernel = config.views.interpolation
  ranges = _ranges(groups, (x.count for x in groups), config.views.flip)
  own = _ranges(groups[:1], [config.support.views], config.views.flip)
  large, small = groups

  def cut(uncut: Uncut, key: Array, step: Array) -> Batch:
    key = jax.random.fold_in(key, step)
    canvas = uncut.canvas
    example = uncut.index.astype(jnp.uint32)
    drawn = random_resized_crop.draw(key, example, _extent(canvas), ranges)
    first, rest = (
      drawn.select(slice(large.count)),
      drawn.select(slice(large.count, None)),
    )
    mask = canvas.mask
    if mask is not None:
      mask = resize.crop_mask(
        mask, *first, size=large.size, turned=canvas.turned
      )
    return Batch(
      large=_cut(canvas, first, large.size, kernel),
      small=_cut(canvas, rest, small.size, kernel),
      label=uncut.label,
      index=uncut.index,
      diagnostic_label=uncut.diagnostic_label,
      mask=mask,
      support=uncut.support and cut_support(uncut.support, key),
    )

  def cut_support(uncut: UncutSupport, key: Array) -> Support:
    # By the slot: an image that stands in two of them is not cut alike.
    slots = _FIRST_SLOT + jnp.arange(len(uncut.index), dtype=jnp.uint32)
    drawn = random_resized_crop.draw(key, slots, _extent(uncut.canvas), own)
    return Support(
      large=_cut(uncut.canvas, drawn, large.size, kernel),
      label=uncut.label,
      column=uncut.column,
      index=uncut.index,
    )

  return cut


def _cut(
  canvas: Canvas, drawn: random_resized_crop.Boxes, size: int, kernel: str
) -> Array:
  if not drawn.flip.shape[1]:
    return jnp.zeros((len(canvas.image), 0, size, size, 3), jnp.uint8)
  return resize.crop(
    canvas.image, *drawn, size=size, kernel=kernel, turned=canvas.turned
  )


def _extent(canvas: Canvas) -> Array:
  """Height and width of the images as they are, [B, 2]."""
  if canvas.turned is None:
    return canvas.extent
  return jnp.where(
    canvas.turned[:, None], canvas.extent[:, ::-1], canvas.extent
  )


def _ranges(groups, counts, flip: float) -> random_resized_crop.Ranges:
  pairs = [
    (tuple(group.area), tuple(group.aspect))
    for group, count in zip(groups, counts, strict=True)
    for _ in range(count)
  ]
  return random_resized_crop.Ranges(
    [p[0] for p in pairs], [p[1] for p in pairs], flip
  )


def _make_take(config: ml_collections.ConfigDict, mesh: Mesh):
  """Builds `(pool, key, step) -> Uncut`, the rows of a step."""
  places = [
    *batch_layout.places(
      config.batch_size, config.data.labelled_per_batch
    ).values()
  ]
  # Row r of the batch is row order[r] of the streams put together.
  order = jnp.argsort(jnp.concatenate([jnp.asarray(p) for p in places]))
  split = mesh_lib.sharded(mesh)
  counts = config.support.classes_per_batch, config.support.images_per_class

  def gather(canvas: Canvas, index: Array) -> Canvas:
    # Each device has the whole set and takes the rows that it is to have.
    return jax.tree.map(lambda x: x[index], canvas)

  def take(pool: Pool, key: Array, step: Array) -> Uncut:
    drawn = [
      sampling.epochs(jax.random.fold_in(key, n), population, step, len(own))
      for n, (population, own) in enumerate(
        zip(pool.populations, places, strict=True)
      )
    ]
    index = jnp.concatenate(drawn)[order]
    index = jax.lax.with_sharding_constraint(index, split)
    support = None
    if pool.support is not None:
      support = take_support(pool, jax.random.fold_in(key, len(places)), step)
    return Uncut(
      canvas=gather(pool.canvas, index),
      label=pool.label[index],
      index=index,
      diagnostic_label=pool.diagnostic_label[index],
      support=support,
    )

  def take_support(pool: Pool, key: Array, step: Array) -> UncutSupport:
    assert pool.support is not None
    classes, each = counts
    index = sampling.support(
      key, *pool.support, step, classes=classes, each=each
    )
    index = jax.lax.with_sharding_constraint(index, split)
    canvas = gather(pool.canvas, index)._replace(mask=None)
    column = jnp.arange(classes, dtype=jnp.int32).repeat(each)
    return UncutSupport(canvas, pool.label[index], column, index)

  return take
