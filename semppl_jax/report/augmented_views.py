"""Gallery of train images with all their views as the network gets them."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from semppl_jax.config import loading
from semppl_jax.data import batch_layout, in_memory, labels, masks, pipeline
from semppl_jax.data.batch import Batch
from semppl_jax.data.device import augment as augment_lib, views as views_lib
from semppl_jax.report import run_inputs as run_inputs_lib
from semppl_jax.report.components import Block, Card, Gallery, Note, Picture
from semppl_jax.report.run_inputs import RunInputs

_MAX_CARDS = 3


class _Views(NamedTuple):
  """Views of B images, uint8.

  Attributes:
    index: positions of the images in the sample [B].
    large: large views [B, L, H, W, 3].
    small: small views [B, S, h, w, 3].
    mask: foreground of the large views, 0 or 1 [B, L, H, W], or None.
    masked: large views without background, or None.
  """

  index: np.ndarray
  large: np.ndarray
  small: np.ndarray
  mask: np.ndarray | None
  masked: np.ndarray | None

  def of_image(self, place: int) -> '_Views':
    """Returns the views of one image, without the axis B."""
    return jax.tree.map(lambda x: x[place], self)


def blocks(inputs: RunInputs) -> Iterator[Block]:
  """Yields a few train images with their views, masks and masked views."""
  train = inputs.splits.train
  rows = _sample(inputs)
  config = loading.copy(inputs.config)
  config.batch_size, config.data.labelled_per_batch = len(rows), 0
  views = _augmented(config.lock(), _batch(inputs, config, rows))
  originals = run_inputs_lib.images(inputs, train, rows)
  # A batch numbers its images within the sample.
  places = {int(rows[n]): place for place, n in enumerate(views.index)}
  shown = [int(row) for row in rows if row in places and row in originals]
  yield Gallery(
    'Images and their views',
    [
      _card(inputs, row, originals[row], views.of_image(places[row]))
      for row in shown[:_MAX_CARDS]
    ],
    'Good: people still recognise the object in the large views; small views'
    ' may show a part of it. Colors vary, but do not hide the object.',
  )
  yield Note(f'Saliency masks: {masks.describe(inputs.config, train)}.')


def _sample(inputs: RunInputs) -> np.ndarray:
  """Draws ascending positions of images, with a mask if enough have one."""
  train = inputs.splits.train
  rows = np.arange(train.size)
  if train.masks is not None and train.masks.covered >= batch_layout.BLOCK:
    rows = np.flatnonzero(train.masks.place >= 0)
  count = min(batch_layout.BLOCK, len(rows))
  return np.sort(np.random.default_rng(0).permutation(rows)[:count])


def _batch(inputs: RunInputs, config: ConfigDict, rows: np.ndarray) -> Batch:
  """Makes one batch of these images as the run makes its own."""
  few = inputs.splits.train.select(rows)
  if config.data.backend == 'device':
    images = in_memory.load(config, few, labels.NONE, False).dataset
  else:
    images = next(pipeline.train_batches(config, few, labels.NONE)).batch
  make_views = jax.jit(views_lib.make_views(config, inputs.mesh))
  return jax.device_get(
    make_views(
      jax.tree.map(jnp.asarray, images), jax.random.key(0), jnp.int32(0)
    )
  )


def _augmented(config: ConfigDict, batch: Batch) -> _Views:
  """Augments a batch, with and without background where it has masks."""
  mean, std = np.asarray(config.augment.mean), np.asarray(config.augment.std)

  def pixels(views: jax.Array) -> np.ndarray:
    unit = np.asarray(views) * std + mean
    return np.clip(np.round(255 * unit), 0, 255).astype(np.uint8)

  augment = augment_lib.make_augment(config.augment, config.saliency)
  large_key, small_key = jax.random.split(jax.random.key(1))
  mask = masked = None
  if batch.mask is not None:
    mask = np.asarray(batch.mask)
    always = loading.copy(config)
    always.saliency.probability = 1.0
    mask_all = augment_lib.make_augment(always.augment, always.saliency)
    masked = pixels(mask_all(batch.large, large_key, batch.mask))
  return _Views(
    index=np.asarray(batch.index),
    large=pixels(augment(batch.large, large_key)),
    small=pixels(augment(batch.small, small_key)),
    mask=mask,
    masked=masked,
  )


def _card(
  inputs: RunInputs, row: int, original: np.ndarray, views: _Views
) -> Card:
  """Shows one image with its views, whose arrays have no axis B here."""
  shown = {'centre crop': original}
  for size, group in (('large', views.large), ('small', views.small)):
    shown |= {f'{size} view {n}': view for n, view in enumerate(group, 1)}
  if views.mask is not None and views.masked is not None:
    shown['mask 1'] = 255 * views.mask[0]
    shown |= {f'masked view {n}': x for n, x in enumerate(views.masked, 1)}
  train = inputs.splits.train
  name = inputs.class_name(int(train.labels[row]))
  return Card(
    f'{train.ids[row]} ({name})',
    [Picture.from_image(image, text) for text, image in shown.items()],
  )
