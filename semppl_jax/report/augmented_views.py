"""What does it see? Images with all their views as the network gets them."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from semppl_jax.config import loading
from semppl_jax.data import batch_layout, in_memory, labels, masks, pipeline
from semppl_jax.data.batch import Batch
from semppl_jax.data.device import augment as augment_lib, views as views_lib
from semppl_jax.report import pictures, run_inputs as run_inputs_lib
from semppl_jax.report.components import Block, Card, Gallery, Note, Picture
from semppl_jax.report.run_inputs import Material

_IMAGES = 3


def blocks(material: Material, seed: int = 0) -> Iterator[Block]:
  """A few train images, their views, masks and masked views.

  Args:
    material: the run's data.
    seed: of the draw of images.
  """
  rows = _drawn(material, seed)
  config = loading.copy(material.own)
  config.batch_size, config.data.labelled_per_batch = len(rows), 0
  config.lock()
  batch = _batch(material, config, rows)
  whole = run_inputs_lib.images(material, material.splits.train, rows)
  seen = _coloured(config, batch)
  masked = _masked(config, batch)
  order = {int(index): place for place, index in enumerate(batch.index)}
  cards = []
  for place, row in enumerate(rows):
    if place in order and len(cards) < _IMAGES and int(row) in whole:
      cards.append(
        _card(material, int(row), whole[int(row)], batch, seen, masked,
              order[place])
      )  # fmt: skip
  yield Gallery(
    'Images and their views',
    cards,
    'Good: a person still recognises the object in the large views; small ones'
    ' may show a part; colours vary, and do not hide the object.',
  )
  about = masks.describe(material.own, material.splits.train)
  yield Note(f'Saliency masks: {about}.')


def _drawn(material: Material, seed: int) -> np.ndarray:
  """Ascending positions of some images, all with a mask if so many have one."""
  train = material.splits.train
  rows = np.arange(train.size)
  if train.masks is not None and train.masks.covered >= batch_layout.BLOCK:
    rows = np.flatnonzero(train.masks.place >= 0)
  count = min(batch_layout.BLOCK, len(rows))
  return np.sort(np.random.default_rng(seed).permutation(rows)[:count])


def _batch(material: Material, config: Any, rows: np.ndarray) -> Batch:
  """One batch of these images, made as the run makes its own."""
  few = material.splits.train.select(rows)
  if config.data.backend == 'device':
    given: Any = in_memory.load(config, few, labels.NONE, False).pool
  else:
    given = next(pipeline.train_batches(config, few, labels.NONE)).batch
  cut = views_lib.make(config, material.mesh)
  made = jax.jit(cut)(
    jax.tree.map(jnp.asarray, given), jax.random.key(0), jnp.int32(0)
  )
  return jax.device_get(made)


def _coloured(config: Any, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
  """Large and small views as the network gets them, uint8."""
  augment = augment_lib.make_augment(config.augment, config.saliency)
  large_key, small_key = jax.random.split(jax.random.key(1))
  return (
    _pixels(config, augment(batch.large, large_key)),
    _pixels(config, augment(batch.small, small_key)),
  )


def _masked(config: Any, batch: Batch) -> np.ndarray | None:
  """Large views without background, or None where there are no masks."""
  if batch.mask is None:
    return None
  always = loading.copy(config)
  always.saliency.probability = 1.0
  augment = augment_lib.make_augment(always.augment, always.saliency)
  large_key = jax.random.split(jax.random.key(1))[0]
  return _pixels(config, augment(batch.large, large_key, batch.mask))


def _pixels(config: Any, views: Any) -> np.ndarray:
  """Takes the normalisation back, to be looked at."""
  mean, std = np.asarray(config.augment.mean), np.asarray(config.augment.std)
  shown = np.asarray(views) * std + mean
  return np.clip(np.round(255 * shown), 0, 255).astype(np.uint8)


def _card(
  material: Material,
  row: int,
  whole: np.ndarray,
  batch: Batch,
  seen: tuple[np.ndarray, np.ndarray],
  masked: np.ndarray | None,
  place: int,
) -> Card:
  train = material.splits.train
  shown = [Picture(pictures.encode(whole), 'centre crop')]
  for size, views in zip(('large', 'small'), seen, strict=True):
    shown += [
      Picture(pictures.encode(view), f'{size} view {n}')
      for n, view in enumerate(views[place], 1)
    ]
  if masked is not None and batch.mask is not None:
    shown.append(
      Picture(pictures.encode(np.asarray(255 * batch.mask[place, 0])), 'mask 1')
    )
    shown += [
      Picture(pictures.encode(view), f'masked view {n}')
      for n, view in enumerate(masked[place], 1)
    ]
  label = train.labels[row]
  name = train.class_names[label] if label >= 0 else 'no label'
  return Card(f'{train.ids[row]} ({name})', shown)
