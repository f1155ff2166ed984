"""Whole data sets in memory, decoded once; needs no TensorFlow.

What fits goes to the accelerators as it is, and the step takes its rows and
cuts its views there: the host has nothing to do while a run trains.
"""

from collections.abc import Iterable, Iterator
from concurrent import futures
import itertools
import os
from typing import Any, NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data import batch_layout, pillow, support_set as support_set_lib
from semppl_jax.data.batch import UNLABELLED
from semppl_jax.data.canvas import Canvas, Pool
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.labels import LabelSubset
from semppl_jax.data.sources import tfrecord_numpy
from semppl_jax.data.sources.files import FileSource
from semppl_jax.data.sources.npz import ArraySource
from semppl_jax.data.sources.tfrecord_numpy import Stored

_GIB = 2**30
_AHEAD = 1024  # Encoded images in memory.


class Loaded(NamedTuple):
  """A train set in memory.

  Attributes:
    pool: NumPy arrays.
    unreadable: positions of images that no row will show, int32 [n].
    figures: what is logged of every batch.
  """

  pool: Pool
  unreadable: np.ndarray
  figures: dict[str, float]


def load(
  config: ConfigDict, train: Dataset, subset: LabelSubset, support: bool
) -> Loaded:
  """Decodes a train set, and lays out what a step draws from.

  Images larger than `config.data.canvas` are scaled down to fit.

  Args:
    config: the whole config.
    train: the train set.
    subset: the images that may show their label.
    support: whether batches have support rows.

  Raises:
    ValueError: the images take more than `config.data.device_gib`, no image can
      be read, or what `batch_layout.streams` and `support` raise.
  """
  known = np.zeros(train.size, bool)
  known[subset.index] = True
  canvas, good, masked = _canvas(config, train)
  streams = batch_layout.streams(
    config.batch_size, config.data.labelled_per_batch, known
  )
  populations = [x.population[good[x.population]] for x in streams]
  if not all(map(len, populations)):
    raise ValueError(
      f'{train.name!r} has a stream of images none of which can be read.'
    )
  table = None
  if support:
    table = _table(
      [x[good[x]] for x in support_set_lib.class_images(config, train, subset)],
    )
  pool = Pool(
    canvas=canvas,
    label=np.where(known, train.labels, UNLABELLED).astype(np.int32),
    diagnostic_label=train.labels.astype(np.int32),
    populations=tuple(populations),
    support=table,
  )
  figures = {}
  if canvas.mask is not None:
    figures['data/masks_missing'] = float((~masked[good]).mean())
  return Loaded(pool, np.flatnonzero(~good).astype(np.int32), figures)


def eval_steps(
  config: ConfigDict, dataset: Dataset, indices: np.ndarray, rows: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
  """Yields the centre crops of `rows` images, as `data.steps.eval_steps` does.

  Args:
    config: the whole config.
    dataset: any split.
    indices: ascending positions, then -1 up to a multiple of `rows`.
    rows: images in an element.

  Returns:
    Crops [rows, crop, crop, 3], their indices twice, and which are readable.
  """
  e, kernel = config.eval, config.views.interpolation

  def crop(stored: Any) -> np.ndarray | None:
    image = _decoded(stored, (2**31, 2**31), kernel)
    if image is None:
      return None
    return pillow.centre_crop(image, e.resize, e.crop, kernel)

  count = int((indices >= 0).sum())
  stored = _stored(dataset.source.select(indices[:count]))
  images = np.zeros((rows, e.crop, e.crop, 3), np.uint8)
  good = np.zeros(rows, bool)
  for start in range(0, len(indices), rows):
    own = indices[start : start + rows]
    images[:], good[:] = 0, False
    there = min(max(count - start, 0), rows)
    part = [next(stored) for _ in range(there)]
    for place, image in enumerate(_mapped(crop, part)):
      if image is not None:
        images[place], good[place] = image, True
    yield images.copy(), own, own, good.copy()


def _canvas(
  config: ConfigDict, train: Dataset
) -> tuple[Canvas, np.ndarray, np.ndarray]:
  """All images in one array, which can be read, and which have a mask."""
  within = tuple(config.data.canvas)
  source, kernel = train.source, config.views.interpolation
  shapes = np.array([*_mapped(lambda x: _extent(x, within), _stored(source))])
  good = shapes[:, 0] > 0
  if not good.any():
    raise ValueError(f'None of the images of {train.name!r} can be read.')
  height, width = (int(x) for x in shapes.max(axis=0))
  masks = config.saliency.probability > 0 and (
    train.masks is not None or source.has_masks
  )
  _check_size(config, train, height, width, 3 + masks)
  image = np.zeros((train.size, height, width, 3), np.uint8)
  mask = np.ones(image.shape[:3], np.uint8) if masks else None
  masked = np.zeros(train.size, bool)

  def fill(numbered: tuple[int, Any, bytes]) -> bool:
    place, stored, stored_mask = numbered
    decoded = _decoded(stored, within, kernel)
    if decoded is None or decoded.shape[:2] != tuple(shapes[place]):
      return False
    h, w = decoded.shape[:2]
    image[place, :h, :w] = decoded
    if mask is not None and stored_mask:
      found = pillow.decode_mask(stored_mask, (h, w))
      # A blank one is not applied.
      if found.min() < found.max():
        mask[place, :h, :w], masked[place] = found, True
    return True

  numbered = zip(
    range(train.size), _stored(source), _masks(train, masks), strict=True
  )
  good &= np.array([*_mapped(fill, numbered)])
  extent = np.maximum(shapes, 1).astype(np.int32)
  return Canvas(image, extent, mask), good, masked


def _masks(train: Dataset, wanted: bool) -> Iterator[bytes]:
  """The mask of each image, empty where it has none."""
  if not wanted:
    yield from itertools.repeat(b'', train.size)
  elif train.masks is None:
    yield from (x.mask for x in tfrecord_numpy.read_all(train.source))
  else:
    place = train.masks.place
    there = train.masks.source.select(place[place >= 0])
    found = tfrecord_numpy.read_all(there)
    yield from (next(found).image if row >= 0 else b'' for row in place)


def _check_size(
  config: ConfigDict, train: Dataset, height: int, width: int, layers: int
) -> None:
  need = train.size * height * width * layers / _GIB
  if need > config.data.device_gib:
    raise ValueError(
      f'{train.name!r} takes {need:.2f} GiB on each device ({train.size} images'
      f' of up to {height} x {width} pixels), and config.data.device_gib='
      f'{config.data.device_gib} allows less; raise it, lower'
      " config.data.canvas, or take config.data.backend='tfdata'."
    )


def _table(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Images of each class as a table [C, m], and how many each has."""
  counts = np.array([len(x) for x in images], np.int32)
  if not counts.all():
    raise ValueError('A class of the support has no image that can be read.')
  table = np.zeros((len(images), counts.max()), np.int32)
  for row, own in zip(table, images, strict=True):
    row[: len(own)] = own
  return table, counts


def _stored(source: Any) -> Iterator[Any]:
  """What a source holds of each image: `Stored` bytes, or pixels."""
  if isinstance(source, ArraySource):
    yield from source.images
  elif isinstance(source, FileSource):
    for row in range(len(source.paths)):
      yield _file(source, row)
  else:
    yield from tfrecord_numpy.read_all(source)


def _file(source: FileSource, row: int) -> Stored:
  try:
    return Stored(source.read(row), b'')
  except OSError:
    return Stored(b'', b'')  # Which is no image.


def _extent(stored: Any, within: tuple[int, int]) -> tuple[int, int]:
  """Height and width once it is decoded, 0 where it is no image."""
  if isinstance(stored, np.ndarray):
    return stored.shape[0], stored.shape[1]
  try:
    return pillow.fitted(pillow.extent(stored.image), within)
  except pillow.UNREADABLE:
    return 0, 0


def _decoded(
  stored: Any, within: tuple[int, int], kernel: str
) -> np.ndarray | None:
  if isinstance(stored, np.ndarray):
    return stored
  try:
    return pillow.decode(stored.image, within, kernel)
  except pillow.UNREADABLE:
    return None


def _mapped(function: Any, items: Iterable[Any]) -> Iterator[Any]:
  """Maps in threads, in order; some items ahead and not all of them."""
  items = iter(items)
  with futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
    while part := [*itertools.islice(items, _AHEAD)]:
      yield from pool.map(function, part)
