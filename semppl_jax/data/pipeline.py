"""Batches for training and evaluation.

The global batch of a step is a pure function of (seed, step): neither the
number of processes nor the first step of a resumed run changes a byte of it.
Process p of P has rows [p B / P, (p + 1) B / P).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
from jaxtyping import PyTree
from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data import batch_layout, support_set as support_set_lib
from semppl_jax.data.batch import (
  Batch,
  Canvas,
  Support,
  UncroppedBatch,
  UncroppedSupport,
  UNLABELLED,
)
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.labels import LabelSubset
from semppl_jax.data.sources.folder import FileSource
from semppl_jax.data.sources.npz import ArraySource
from semppl_jax.data.sources.tfrecord_index import RecordSource
from semppl_jax.runtime.errors import count_and_names


class HostBatch(NamedTuple):
  """Rows of one step that this process loads.

  Attributes:
    batch: NumPy arrays, leading axis [B / P]; [S / P] for support rows. An
      `UncroppedBatch` where the device crops.
    corrupt: positions in the train set of unreadable images that these rows
      should show, int32 [n]; another image of the block replaces each.
    unmasked: number of rows whose image has no mask or a blank one; None where
      no view is masked.
  """

  batch: Batch | UncroppedBatch
  corrupt: np.ndarray
  unmasked: int | None = None


class EvalBatch(NamedTuple):
  """b rows of an evaluation.

  Attributes:
    image: center crops [b, crop, crop, 3], uint8.
    label: true class, int32 [b], or -1.
    index: position in the data set, int32 [b]; -1 for padding.
    valid: bool [b]; False for padding and for unreadable images.
  """

  image: np.ndarray
  label: np.ndarray
  index: np.ndarray
  valid: np.ndarray


class _InputSpec(NamedTuple):
  """Part of every step that this process loads.

  Attributes:
    parts: streams of which it loads rows, and those rows.
    support: support rows, or None.
    labelled: True where the run may use the label of an image, bool [n].
  """

  parts: list[tuple[batch_layout.Stream, batch_layout.Share]]
  support: support_set_lib.SupportRows | None
  labelled: np.ndarray


def train_batches(
  config: ConfigDict,
  train: Dataset,
  subset: LabelSubset,
  *,
  start_step: int = 0,
  process_index: int = 0,
  process_count: int = 1,
  support: bool = False,
) -> Iterator[HostBatch]:
  """Returns endless batches, from `start_step` on.

  Each epoch shows every image once, in a new order; batches straddle the ends
  of epochs. With `labelled_per_batch` there are two such streams, one of the
  labelled images and one of the others, whose rows are spread evenly. The cost
  of a resume is described in `tf.streams`. An unreadable image is replaced by
  the next readable one of its block of at least 8 rows (fewer if the stream has
  no such divisor), see `tf.decode`.

  Support rows come beside them, S = classes x images of `config.support`:
  process p has rows [p S / P, (p + 1) S / P), ordered by class, see
  `support_set`.

  Args:
    config: the whole config.
    train: the train set.
    subset: the labelled images.
    start_step: the first step.
    process_index: this process.
    process_count: P; must divide `batch_size`, and S.
    support: True to add support rows.

  Raises:
    ValueError: a batch that cannot be split, a stream without images, support
      rows that the data cannot fill, or (while iterating) a block without a
      readable image.
  """
  spec = _input_spec(
    config, train, subset, process_index, process_count, support
  )
  elements = _elements(config, train, spec, start_step)
  return _host_batches(elements, spec, start_step, train)


def train_stage(
  config: ConfigDict,
  train: Dataset,
  subset: LabelSubset,
  until: str,
  *,
  support: bool = False,
) -> Iterator[Any]:
  """Returns steps up to a stage of `tf.pipeline.STAGES`, for benchmarks."""
  spec = _input_spec(config, train, subset, 0, 1, support)
  return _elements(config, train, spec, 0, until)


def _input_spec(
  config: ConfigDict,
  train: Dataset,
  subset: LabelSubset,
  process_index: int,
  process_count: int,
  support: bool,
) -> _InputSpec:
  process = process_index, process_count
  rows = batch_layout.process_rows(config.batch_size, *process)
  labelled = np.isin(np.arange(train.size), subset.index)
  streams = batch_layout.streams(
    config.batch_size, config.data.labelled_per_batch, labelled
  )
  parts = [(stream, batch_layout.share(stream, rows)) for stream in streams]
  return _InputSpec(
    parts=[(stream, share) for stream, share in parts if share.blocks],
    support=support_set_lib.support_rows(config, train, subset, *process)
    if support
    else None,
    labelled=labelled,
  )


def _elements(
  config: ConfigDict,
  train: Dataset,
  spec: _InputSpec,
  start_step: int,
  until: str = 'crops',
) -> Iterator[Any]:
  from semppl_jax.data.tf import pipeline  # TensorFlow.

  return pipeline.train_steps(
    config,
    _encoded_source(train),
    spec.parts,
    start_step,
    spec.support,
    train.masks,
    until,
  )


def _encoded_source(dataset: Dataset) -> FileSource | RecordSource:
  assert not isinstance(dataset.source, ArraySource)  # For 'device' alone.
  return dataset.source


def eval_batches(
  config: ConfigDict,
  dataset: Dataset,
  indices: np.ndarray,
  batch_size: int,
  *,
  process_index: int = 0,
  process_count: int = 1,
) -> Iterator[EvalBatch]:
  """Yields center crops of the images at `indices`, once and in that order.

  Every process yields the same number of batches; the last one is padded.
  Records of other images are read but not decoded.

  Args:
    config: the whole config.
    dataset: any split.
    indices: ascending positions in it, int [n].
    batch_size: images per batch over all processes; b = `batch_size` / P.
    process_index: this process.
    process_count: P; must divide `batch_size`.

  Raises:
    ValueError: a batch that cannot be split, or indices that do not ascend.
  """
  rows = batch_layout.process_rows(batch_size, process_index, process_count)
  indices = np.asarray(indices, np.int32)
  if (np.diff(indices, prepend=-1) <= 0).any():
    raise ValueError('indices of an evaluation must ascend from 0 or above.')
  padded = np.full(-len(indices) % batch_size + len(indices), -1, np.int32)
  padded[: len(indices)] = indices
  own = padded.reshape(-1, batch_size)[:, rows.start : rows.stop].reshape(-1)
  steps: Iterator[Any]
  if config.data.backend == 'device':
    from semppl_jax.data import in_memory

    steps = in_memory.eval_steps(config, dataset.source, own, len(rows))
  else:
    from semppl_jax.data.tf import pipeline  # TensorFlow.

    source = _encoded_source(dataset)
    steps = pipeline.eval_steps(config, source, own, len(rows))
  for image, _, requested, readable in steps:
    label = np.where(requested >= 0, dataset.labels[requested], UNLABELLED)
    yield EvalBatch(image, label.astype(np.int32), requested, readable)


def _host_batches(
  elements: Iterator[Any], spec: _InputSpec, start_step: int, train: Dataset
) -> Iterator[HostBatch]:
  for step, element in enumerate(elements, start_step):
    if spec.support is None:
      yield _host_batch(element, spec, train)
    else:
      host = _host_batch(element[:-1], spec, train)
      yield _add_support(host, element[-1], spec.support, step, train)


def _host_batch(
  element: Sequence[Any], spec: _InputSpec, train: Dataset
) -> HostBatch:
  parts = []
  for (stream, share), decoded in zip(spec.parts, element, strict=True):
    _check_blocks(decoded.requested, decoded.readable, stream.block, train)
    parts.append(jax.tree.map(lambda x, own=share.keep: x[own], decoded))
  positions = [share.positions for _, share in spec.parts]
  row, index, requested, readable = _merge(parts, positions)
  label = train.labels[index]
  known = np.where(spec.labelled[index], label, UNLABELLED).astype(np.int32)
  views = row.views
  if not len(row.masked):
    views = views._replace(mask=None)
  if isinstance(views, Canvas):
    batch = UncroppedBatch(views, known, index, label)
  else:
    batch = Batch(views.large, views.small, known, index, label, views.mask)
  unmasked = int((~row.masked).sum()) if len(row.masked) else None
  return HostBatch(batch, requested[~readable], unmasked)


def _add_support(
  host: HostBatch,
  decoded: Any,
  rows: support_set_lib.SupportRows,
  step: int,
  train: Dataset,
) -> HostBatch:
  images = rows.sampler.at(step)
  _check_blocks(
    images[decoded.requested], decoded.readable, rows.stream.block, train
  )
  views, slot, requested, readable = jax.tree.map(
    lambda x: x[rows.share.keep], tuple(decoded)
  )
  index = images[slot]
  facts = train.labels[index], rows.sampler.columns(slot), index
  if isinstance(views, Canvas):
    support = UncroppedSupport(views._replace(mask=None), *facts)
  else:
    support = Support(views, *facts)
  corrupt = images[requested[~readable]]
  return host._replace(
    batch=host.batch._replace(support=support),
    corrupt=np.concatenate([host.corrupt, corrupt]),
  )


def _check_blocks(
  requested: np.ndarray, readable: np.ndarray, block: int, train: Dataset
) -> None:
  """Raises ValueError if no image of a block is readable."""
  unreadable = ~readable.reshape(-1, block).any(axis=1)
  if unreadable.any():
    names = train.ids[requested.reshape(-1, block)[unreadable][0]]
    raise ValueError(
      f'{train.name!r} has {count_and_names("unreadable image(s)", names)}, '
      'which are all of a block of rows, so that none can stand in for another.'
    )


def _merge(trees: list[PyTree], positions: list[np.ndarray]) -> PyTree:
  """Puts the rows of several streams at their positions in the batch."""
  if len(trees) == 1:
    return trees[0]
  total = sum(map(len, positions))

  def join(*arrays: np.ndarray) -> np.ndarray:
    joined = np.empty((total, *arrays[0].shape[1:]), arrays[0].dtype)
    for array, rows in zip(arrays, positions, strict=True):
      joined[rows] = array
    return joined

  return jax.tree.map(join, *trees)
