"""Views of a step, from whatever the host sends.

The host sends cropped views; or whole images, which the step crops; or once the
train set, from which the step also samples its rows. All three become a
`Batch`, depending on their type.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data import batch_layout
from semppl_jax.data.batch import (
  Batch,
  Canvas,
  DeviceDataset,
  StepInput,
  Support,
  UncroppedBatch,
  UncroppedSupport,
)
from semppl_jax.data.device import random_resized_crop, resize, sampling
from semppl_jax.data.device.random_resized_crop import Boxes, CropRanges
from semppl_jax.runtime import mesh as mesh_lib

Array = jax.Array
ViewsFn = Callable[[StepInput, Array, Array], Batch]

# Images are numbered below it, so that slots draw numbers of their own.
_FIRST_SLOT = np.uint32(2**31)


def make_views(config: ConfigDict, mesh: Mesh) -> ViewsFn:
  """Builds the pure function `(inputs, key, step) -> Batch`.

  Args:
    config: the whole config.
    mesh: devices over which rows are sharded.

  Returns:
    A function of a `DeviceDataset`, an `UncroppedBatch` or a `Batch`, which is
    returned unchanged; of a key for views; and of the step number.
  """
  sample, crop = _make_sample(config, mesh), _make_crop(config)

  def views(inputs: StepInput, key: Array, step: Array) -> Batch:
    sample_key, crop_key = jax.random.split(key)
    if isinstance(inputs, DeviceDataset):
      inputs = sample(inputs, sample_key, step)
    if isinstance(inputs, UncroppedBatch):
      inputs = crop(inputs, crop_key, step)
    return inputs

  return views


def _make_crop(
  config: ConfigDict,
) -> Callable[[UncroppedBatch, Array, Array], Batch]:
  """Builds the function that crops the views of a batch and its support."""
  large, small = config.views.large, config.views.small
  kernel, flip = config.views.interpolation, config.views.flip
  ranges = _ranges([large] * large.count + [small] * small.count, flip)
  support_ranges = _ranges([large] * config.support.views, flip)

  def crop_canvas(canvas: Canvas, boxes: Boxes, size: int) -> Array:
    if not boxes.flip.shape[1]:
      return jnp.zeros((len(canvas.image), 0, size, size, 3), jnp.uint8)
    return resize.crop(
      canvas.image,
      *boxes,
      size=size,
      kernel=kernel,
      transposed=canvas.transposed,
    )

  def crop(batch: UncroppedBatch, key: Array, step: Array) -> Batch:
    key = jax.random.fold_in(key, step)
    canvas = batch.canvas
    example = batch.index.astype(jnp.uint32)
    boxes = random_resized_crop.draw(key, example, _size(canvas), ranges)
    large_boxes = boxes.select(slice(large.count))
    small_boxes = boxes.select(slice(large.count, None))
    mask = canvas.mask
    if mask is not None:
      mask = resize.crop_mask(
        mask, *large_boxes, size=large.size, transposed=canvas.transposed
      )
    return Batch(
      large=crop_canvas(canvas, large_boxes, large.size),
      small=crop_canvas(canvas, small_boxes, small.size),
      label=batch.label,
      index=batch.index,
      diagnostic_label=batch.diagnostic_label,
      mask=mask,
      support=batch.support and crop_support(batch.support, key),
    )

  def crop_support(support: UncroppedSupport, key: Array) -> Support:
    # Numbered by slot: an image in two slots gets different crops.
    slots = _FIRST_SLOT + jnp.arange(len(support.index), dtype=jnp.uint32)
    canvas, *facts = support
    boxes = random_resized_crop.draw(key, slots, _size(canvas), support_ranges)
    return Support(crop_canvas(canvas, boxes, large.size), *facts)

  return crop


def _size(canvas: Canvas) -> Array:
  """Returns height and width of the upright images, [B, 2]."""
  if canvas.transposed is None:
    return canvas.extent
  return jnp.where(
    canvas.transposed[:, None], canvas.extent[:, ::-1], canvas.extent
  )


def _ranges(views: Sequence[ConfigDict], flip: float) -> CropRanges:
  return CropRanges(
    [tuple(view.area) for view in views],
    [tuple(view.aspect) for view in views],
    flip,
  )


def _make_sample(
  config: ConfigDict, mesh: Mesh
) -> Callable[[DeviceDataset, Array, Array], UncroppedBatch]:
  """Builds the function that samples the rows of a step."""
  positions = [
    *batch_layout.stream_positions(
      config.batch_size, config.data.labelled_per_batch
    ).values()
  ]
  # Row r of the batch is row order[r] of the concatenated streams.
  order = jnp.argsort(jnp.concatenate([jnp.asarray(p) for p in positions]))
  sharding = mesh_lib.sharded(mesh)
  classes = config.support.classes_per_batch
  per_class = config.support.images_per_class

  def gather(canvas: Canvas, index: Array) -> Canvas:
    # Each device has the whole set and takes its own rows.
    return jax.tree.map(lambda x: x[index], canvas)

  def sample(data: DeviceDataset, key: Array, step: Array) -> UncroppedBatch:
    drawn = [
      sampling.epochs(jax.random.fold_in(key, n), population, step, len(rows))
      for n, (population, rows) in enumerate(
        zip(data.populations, positions, strict=True)
      )
    ]
    index = jnp.concatenate(drawn)[order]
    index = jax.lax.with_sharding_constraint(index, sharding)
    support = None
    if data.support is not None:
      support_key = jax.random.fold_in(key, len(positions))
      support = sample_support(data, data.support, support_key, step)
    return UncroppedBatch(
      canvas=gather(data.canvas, index),
      label=data.label[index],
      index=index,
      diagnostic_label=data.diagnostic_label[index],
      support=support,
    )

  def sample_support(
    data: DeviceDataset, table: tuple[Array, Array], key: Array, step: Array
  ) -> UncroppedSupport:
    index = sampling.support(
      key, *table, step, classes=classes, per_class=per_class
    )
    index = jax.lax.with_sharding_constraint(index, sharding)
    canvas = gather(data.canvas, index)._replace(mask=None)
    column = jnp.arange(classes, dtype=jnp.int32).repeat(per_class)
    return UncroppedSupport(canvas, data.label[index], column, index)

  return sample
