"""Whole data sets in memory, decoded once; needs no TensorFlow.

A set that fits is copied to the accelerators, and the step samples its rows and
crops its views there: the host has no work while a run trains.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
import itertools
import os
from typing import NamedTuple, TypeVar

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data import batch_layout, pillow, support_set as support_set_lib
from semppl_jax.data.batch import Canvas, DeviceDataset, UNLABELLED
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.labels import LabelSubset
from semppl_jax.data.sources import tfrecord_numpy
from semppl_jax.data.sources.folder import FileSource
from semppl_jax.data.sources.npz import ArraySource
from semppl_jax.data.sources.tfrecord_index import RecordSource
from semppl_jax.data.sources.tfrecord_numpy import Stored

_GIB = 2**30
_CHUNK = 1024  # Encoded images in memory.
_NO_LIMIT = (2**31, 2**31)
_In = TypeVar('_In')
_Out = TypeVar('_Out')
_Source = ArraySource | FileSource | RecordSource


class LoadedDataset(NamedTuple):
  """A train set in memory.

  Attributes:
    dataset: NumPy arrays.
    unreadable: positions of images that are never sampled, int32 [n].
    metrics: values to log with every batch.
  """

  dataset: DeviceDataset
  unreadable: np.ndarray
  metrics: dict[str, float]


def load(
  config: ConfigDict, train: Dataset, subset: LabelSubset, support: bool
) -> LoadedDataset:
  """Decodes a train set and lists the images of each stream.

  Images larger than `config.data.canvas` are scaled down to fit.

  Args:
    config: the whole config.
    train: the train set.
    subset: the labelled images.
    support: True to add support rows to batches.

  Raises:
    ValueError: the images take more than `config.data.device_gib`, no image can
      be read, or an error of `batch_layout.streams` or `support_set`.
  """
  labelled = np.isin(np.arange(train.size), subset.index)
  canvas, readable, masked = _canvas(config, train)
  streams = batch_layout.streams(
    config.batch_size, config.data.labelled_per_batch, labelled
  )
  populations = [x.population[readable[x.population]] for x in streams]
  if not all(map(len, populations)):
    raise ValueError(f'{train.name!r} has a stream without a readable image.')
  table = None
  if support:
    images = support_set_lib.class_images(config, train, subset)
    table = _class_table([x[readable[x]] for x in images])
  metrics = {}
  if canvas.mask is not None:
    metrics['data/masks_missing'] = float((~masked[readable]).mean())
  return LoadedDataset(
    DeviceDataset(
      canvas=canvas,
      label=np.where(labelled, train.labels, UNLABELLED).astype(np.int32),
      diagnostic_label=train.labels.astype(np.int32),
      populations=tuple(populations),
      support=table,
    ),
    np.flatnonzero(~readable).astype(np.int32),
    metrics,
  )


def eval_steps(
  config: ConfigDict, source: _Source, indices: np.ndarray, rows: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
  """Yields the center crops of `rows` images, as `tf.pipeline.eval_steps`.

  Args:
    config: the whole config.
    source: reader of the images.
    indices: ascending positions, then -1 up to a multiple of `rows`.
    rows: images in an element.

  Yields:
    Crops [rows, crop, crop, 3], their indices twice, and True where readable.
  """
  size, kernel = config.eval.crop, config.views.interpolation

  def crop(stored: Stored | np.ndarray) -> np.ndarray | None:
    image = _decode(stored, _NO_LIMIT, kernel)
    if image is None:
      return None
    return pillow.center_crop(image, config.eval.resize, size, kernel)

  count = int((indices >= 0).sum())
  stored = _stored(source.select(indices[:count]))
  for own in indices.reshape(-1, rows):
    images = np.zeros((rows, size, size, 3), np.uint8)
    readable = np.zeros(rows, bool)
    part = itertools.islice(stored, int((own >= 0).sum()))
    for row, image in enumerate(_threaded(crop, part)):
      if image is not None:
        images[row], readable[row] = image, True
    yield images, own, own, readable


def _canvas(
  config: ConfigDict, train: Dataset
) -> tuple[Canvas, np.ndarray, np.ndarray]:
  """Returns all images in one array, and which are readable and masked [n]."""
  limit = tuple(config.data.canvas)
  source, kernel = train.source, config.views.interpolation
  shapes = np.array([*_threaded(lambda x: _size(x, limit), _stored(source))])
  readable = shapes[:, 0] > 0
  if not readable.any():
    raise ValueError(f'None of the images of {train.name!r} can be read.')
  height, width = (int(x) for x in shapes.max(axis=0))
  has_masks = config.saliency.probability > 0 and (
    train.masks is not None or source.has_masks
  )
  _check_size(config, train, height, width, 3 + has_masks)
  image = np.zeros((train.size, height, width, 3), np.uint8)
  mask = np.ones(image.shape[:3], np.uint8) if has_masks else None
  masked = np.zeros(train.size, bool)

  def fill(item: tuple[int, Stored | np.ndarray, bytes]) -> bool:
    row, stored, stored_mask = item
    pixels = _decode(stored, limit, kernel)
    if pixels is None or pixels.shape[:2] != tuple(shapes[row]):
      return False
    h, w = pixels.shape[:2]
    image[row, :h, :w] = pixels
    if mask is not None and stored_mask:
      foreground = pillow.decode_mask(stored_mask, (h, w))
      # A blank mask is not applied.
      if foreground.min() < foreground.max():
        mask[row, :h, :w], masked[row] = foreground, True
    return True

  masks = _masks(train) if has_masks else itertools.repeat(b'', train.size)
  items = zip(range(train.size), _stored(source), masks, strict=True)
  readable &= np.array([*_threaded(fill, items)])
  extent = np.maximum(shapes, 1).astype(np.int32)
  return Canvas(image, extent, mask), readable, masked


def _masks(train: Dataset) -> Iterator[bytes]:
  """Yields the mask of each image, empty for none."""
  if train.masks is None:
    yield from (x.mask for x in tfrecord_numpy.read_all(train.source))
  else:
    place = train.masks.place
    masks = tfrecord_numpy.read_all(
      train.masks.source.select(place[place >= 0])
    )
    yield from (next(masks).image if row >= 0 else b'' for row in place)


def _check_size(
  config: ConfigDict, train: Dataset, height: int, width: int, channels: int
) -> None:
  size = train.size * height * width * channels / _GIB
  if size > config.data.device_gib:
    raise ValueError(
      f'{train.name!r} takes {size:.2f} GiB on each device ({train.size} images'
      f' of up to {height} x {width} pixels), but config.data.device_gib='
      f'{config.data.device_gib} allows less; raise it, lower'
      " config.data.canvas, or set config.data.backend='tfdata'."
    )


def _class_table(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Returns images of each class, padded [C, m], and their number [C]."""
  counts = np.array([len(x) for x in images], np.int32)
  if not counts.all():
    raise ValueError('A class of the support set has no readable image.')
  table = np.zeros((len(images), counts.max()), np.int32)
  for row, own in zip(table, images, strict=True):
    row[: len(own)] = own
  return table, counts


def _stored(source: _Source) -> Iterator[Stored | np.ndarray]:
  """Yields encoded images, or pixels of an array source."""
  if isinstance(source, ArraySource):
    yield from source.images
  elif isinstance(source, FileSource):
    for row in range(len(source.paths)):
      try:
        yield Stored(source.read(row), b'')
      except OSError:
        yield Stored(b'', b'')  # Unreadable.
  else:
    yield from tfrecord_numpy.read_all(source)


def _size(
  stored: Stored | np.ndarray, limit: tuple[int, int]
) -> tuple[int, int]:
  """Returns height and width after decoding, 0 for an unreadable image."""
  if isinstance(stored, np.ndarray):
    return stored.shape[0], stored.shape[1]
  try:
    return pillow.fit(pillow.image_size(stored.image), limit)
  except pillow.UNREADABLE:
    return 0, 0


def _decode(
  stored: Stored | np.ndarray, limit: tuple[int, int], kernel: str
) -> np.ndarray | None:
  if isinstance(stored, np.ndarray):
    return stored
  try:
    return pillow.decode(stored.image, limit, kernel)
  except pillow.UNREADABLE:
    return None


def _threaded(
  function: Callable[[_In], _Out], items: Iterable[_In]
) -> Iterator[_Out]:
  """Maps in threads, in order, over a bounded number of items at a time."""
  items = iter(items)
  with futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
    while part := [*itertools.islice(items, _CHUNK)]:
      yield from pool.map(function, part)
