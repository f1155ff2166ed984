"""Random batch on the devices, for a step that needs no data set."""

import jax
import jax.numpy as jnp

from semppl_jax.config import loading
from semppl_jax.data import batch_layout
from semppl_jax.data.batch import Batch, Canvas, UncroppedBatch, UNLABELLED
from semppl_jax.training import aot
from semppl_jax.training.aot import AbstractRun
from semppl_jax.training.train_step import StepInput

# Share of labelled rows where the config leaves their number to chance.
_LABELLED_SHARE = 0.1


def abstract_inputs(run: AbstractRun) -> Batch | UncroppedBatch:
  """Returns shapes of the step's input.

  For a run whose devices hold the train set: the whole images that the step
  would take from it, of `config.data.canvas`; taking them is left out.
  """
  config = loading.copy(run.config)
  if config.data.backend == 'device':
    config.data.crops = 'device'
  return aot.abstract_batch(config, run.mesh, run.method.support)


def labelled_rows(run: AbstractRun) -> int:
  """Returns the number of rows of a batch whose label the step sees."""
  size = run.config.batch_size
  if not run.method.unlabelled:
    return size
  fixed = run.config.data.labelled_per_batch
  return fixed or max(1, int(_LABELLED_SHARE * size))


def batch(run: AbstractRun) -> StepInput:
  """Returns a random batch on the devices, of the shapes of `abstract_inputs`.

  Pixels are noise, labels uniform, and `labelled_rows` of them visible.
  """
  shapes = abstract_inputs(run)
  shardings = jax.tree.map(lambda x: x.sharding, shapes)

  def make() -> StepInput:
    pixel_key, label_key = jax.random.split(jax.random.key(run.config.seed))
    inputs = _with_extents(_noise(pixel_key, shapes))
    return _with_labels(inputs, label_key, run)

  return jax.jit(make, out_shardings=shardings)()


def _noise(
  key: jax.Array, shapes: Batch | UncroppedBatch
) -> Batch | UncroppedBatch:
  """Random pixels, and zeros elsewhere."""
  leaves, structure = jax.tree.flatten(shapes)
  keys = jax.random.split(key, len(leaves))
  arrays = [
    jax.random.bits(k, x.shape, jnp.uint8)
    if x.dtype == jnp.uint8
    else jnp.zeros(x.shape, x.dtype)
    for k, x in zip(keys, leaves, strict=True)
  ]
  return structure.unflatten(arrays)


def _with_extents(inputs: Batch | UncroppedBatch) -> Batch | UncroppedBatch:
  """Sets images to fill their canvases, and masks to 0 and 1."""

  def filled(canvas: Canvas) -> Canvas:
    extent = jnp.asarray(canvas.image.shape[1:3], jnp.int32)
    return canvas._replace(
      extent=jnp.broadcast_to(extent[None], canvas.extent.shape),
      mask=_low_bits(canvas.mask),
    )

  if isinstance(inputs, Batch):
    return inputs._replace(mask=_low_bits(inputs.mask))
  support = inputs.support
  if support is not None:
    support = support._replace(canvas=filled(support.canvas))
  return inputs._replace(canvas=filled(inputs.canvas), support=support)


def _low_bits(mask: jax.Array | None) -> jax.Array | None:
  return None if mask is None else mask & jnp.uint8(1)


def _with_labels(
  inputs: Batch | UncroppedBatch, key: jax.Array, run: AbstractRun
) -> Batch | UncroppedBatch:
  size, s = run.config.batch_size, run.config.support
  classes = run.config.network.classifier.classes
  true = jax.random.randint(key, (size,), 0, classes, jnp.int32)
  rows = batch_layout.stream_positions(size, labelled_rows(run))[1]
  label = jnp.full_like(true, UNLABELLED).at[rows].set(true[rows])
  changes: dict[str, object] = {
    'label': label,
    'index': jnp.arange(size, dtype=jnp.int32),
    'diagnostic_label': true,
  }
  if inputs.support is not None:
    column = jnp.arange(s.classes_per_batch, dtype=jnp.int32)
    column = column.repeat(s.images_per_class)
    index = size + jnp.arange(len(column), dtype=jnp.int32)
    changes['support'] = inputs.support._replace(
      label=column, column=column, index=index
    )
  return inputs._replace(**changes)
