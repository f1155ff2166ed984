"""A batch of noise on the devices, for a step that needs no data set."""

from typing import Any

import jax
import jax.numpy as jnp

from semppl_jax.config import loading
from semppl_jax.data import batch_layout
from semppl_jax.data.batch import Batch, UNLABELLED
from semppl_jax.data.canvas import Canvas, Uncut
from semppl_jax.training import aot
from semppl_jax.training.unfed import Unfed

# Of the rows, where the config leaves to the draw how many show their label.
_LABELLED = 0.1


def like(run: Unfed) -> Batch | Uncut:
  """Shapes of what the step is given.

  Of a run whose devices hold the train set, the whole images that the step
  would take from it, of `config.data.canvas`; taking them is left out.
  """
  config = loading.copy(run.config)
  if config.data.backend == 'device':
    config.data.crops = 'device'
  return aot.batch_like(config, run.mesh, run.method.support)


def labelled_rows(run: Unfed) -> int:
  """How many rows of a batch show their label."""
  size = run.config.batch_size
  if not run.method.unlabelled:
    return size
  given = run.config.data.labelled_per_batch
  return given or max(1, int(_LABELLED * size))


def batch(run: Unfed) -> Any:
  """Makes a random batch on the devices, in the form that `like` says.

  Every image is another, labels are uniform, and `labelled_rows` show theirs.

  Args:
    run: the config, its method and its devices.
  """
  shapes = like(run)
  shardings = jax.tree.map(lambda x: x.sharding, shapes)

  def make() -> Any:
    pixel_key, label_key = jax.random.split(jax.random.key(run.config.seed))
    made = _with_extents(_noise(pixel_key, shapes))
    return _with_labels(made, label_key, run)

  return jax.jit(make, out_shardings=shardings)()


def _noise(key: jax.Array, shapes: Any) -> Any:
  """Random pixels; zeros for all that is not pixels."""
  leaves, structure = jax.tree.flatten(shapes)
  keys = jax.random.split(key, len(leaves))
  made = [
    jax.random.bits(k, x.shape, jnp.uint8)
    if x.dtype == jnp.uint8
    else jnp.zeros(x.shape, x.dtype)
    for k, x in zip(keys, leaves, strict=True)
  ]
  return structure.unflatten(made)


def _with_extents(made: Any) -> Any:
  """Images that fill their canvases, and masks of 0 and 1."""

  def filled(canvas: Canvas) -> Canvas:
    extent = jnp.asarray(canvas.image.shape[1:3], jnp.int32)
    return canvas._replace(
      extent=jnp.broadcast_to(extent[None], canvas.extent.shape),
      mask=_bits(canvas.mask),
    )

  if isinstance(made, Batch):
    return made._replace(mask=_bits(made.mask))
  beside = made.support
  if beside is not None:
    beside = beside._replace(canvas=filled(beside.canvas))
  return made._replace(canvas=filled(made.canvas), support=beside)


def _bits(mask: Any) -> Any:
  return None if mask is None else mask & jnp.uint8(1)


def _with_labels(made: Any, key: jax.Array, run: Unfed) -> Any:
  size, s = run.config.batch_size, run.config.support
  classes = run.config.network.classifier.classes
  true = jax.random.randint(key, (size,), 0, classes, jnp.int32)
  shown = batch_layout.places(size, labelled_rows(run))[1]
  label = jnp.full_like(true, UNLABELLED).at[shown].set(true[shown])
  beside = made.support
  if beside is not None:
    column = jnp.arange(s.classes_per_batch, dtype=jnp.int32)
    column = column.repeat(s.images_per_class)
    index = size + jnp.arange(len(column), dtype=jnp.int32)
    beside = beside._replace(label=column, column=column, index=index)
  return made._replace(
    label=label,
    index=jnp.arange(size, dtype=jnp.int32),
    diagnostic_label=true,
    support=beside,
  )
