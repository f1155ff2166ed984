"""Batches for training and evaluation.

The global batch of a step is a pure function of (seed, step): neither the
number of processes nor the step that a run began at changes a byte of it.
Process p of P has rows [p B / P, (p + 1) B / P).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data import batch_layout, support_set as support_set_lib
from semppl_jax.data.batch import Batch, Support, UNLABELLED
from semppl_jax.data.canvas import Canvas, Uncut, UncutSupport
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.labels import LabelSubset
from semppl_jax.runtime.errors import count_and_names


class HostBatch(NamedTuple):
  """One step's rows of this process.

  Attributes:
    batch: NumPy arrays, leading axis [B / P]; of the support rows [S / P]. An
      `Uncut` where the devices cut the views.
    corrupt: positions in the train set of images that these rows were to show
      and that could not be read, int32 [n]; a neighbour stands in for each.
    unmasked: rows whose image has no mask, or a blank one; None where no view
      is masked.
  """

  batch: Batch | Uncut
  corrupt: np.ndarray
  unmasked: int | None = None


class EvalBatch(NamedTuple):
  """Rows of an evaluation, b of them.

  Attributes:
    image: centre crops [b, crop, crop, 3], uint8.
    label: true class, int32 [b], or -1.
    index: position in the data set, int32 [b]; -1 for padding.
    valid: bool [b]; False for padding and for unreadable images.
  """

  image: np.ndarray
  label: np.ndarray
  index: np.ndarray
  valid: np.ndarray


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
  """Endless batches, from `start_step` on.

  Each epoch shows every image once, in a new order; batches straddle the ends
  of epochs. With `labelled_per_batch` there are two such streams, one of the
  labelled images and one of the others, whose rows are spread evenly. A
  resume costs nothing for files; for records see `streams`. An unreadable
  image is replaced by the next readable one of its block of at least 8 rows
  (fewer if the stream has no such divisor), see `decode`.

  Support rows come beside them, S = classes x images of `config.support`:
  process p has rows [p S / P, (p + 1) S / P), class by class, see `support`.

  Args:
    config: the whole config.
    train: the train set.
    subset: the images that may show their label.
    start_step: the first step.
    process_index: this process.
    process_count: P; must divide `batch_size`, and S.
    support: whether batches have support rows.

  Raises:
    ValueError: a batch that cannot be split, a stream without images, support
      rows that the data has not, or (on the way) a block in which no image can
      be read.
  """
  plan = _plan(config, train, subset, process_index, process_count, support)
  elements = _elements(config, train, plan, start_step)
  if plan.support is None:
    return (_host_batch(x, plan.parts, train, plan.known) for x in elements)
  return _with_support(
    elements, plan.parts, plan.support, start_step, train, plan.known
  )


def train_stage(
  config: ConfigDict,
  train: Dataset,
  subset: LabelSubset,
  until: str,
  *,
  support: bool = False,
) -> Iterator[Any]:
  """Steps of one process up to a stage of `pipeline.STAGES`, to measure by."""
  plan = _plan(config, train, subset, 0, 1, support)
  return _elements(config, train, plan, 0, until)


class _Plan(NamedTuple):
  """What this process makes of each step."""

  parts: list[tuple[batch_layout.Stream, batch_layout.Share]]
  support: support_set_lib.SupportRows | None
  known: np.ndarray


def _plan(
  config: ConfigDict,
  train: Dataset,
  subset: LabelSubset,
  process_index: int,
  process_count: int,
  support: bool,
) -> _Plan:
  rows = batch_layout.process_rows(
    config.batch_size, process_index, process_count
  )
  known = np.zeros(train.size, bool)
  known[subset.index] = True
  parts = [
    (stream, batch_layout.share(stream, rows))
    for stream in batch_layout.streams(
      config.batch_size, config.data.labelled_per_batch, known
    )
  ]
  extra = None
  if support:
    extra = support_set_lib.support_rows(
      config, train, subset, process_index, process_count
    )
  return _Plan([(x, own) for x, own in parts if own.blocks], extra, known)


def _elements(
  config: ConfigDict,
  train: Dataset,
  plan: _Plan,
  start_step: int,
  until: str = 'crops',
) -> Iterator[Any]:
  from semppl_jax.data.tf import pipeline  # TensorFlow.

  return pipeline.train_steps(
    config,
    train.source,
    plan.parts,
    start_step,
    plan.support,
    train.masks,
    until,
  )


def eval_batches(
  config: ConfigDict,
  dataset: Dataset,
  indices: np.ndarray,
  batch_size: int,
  *,
  process_index: int = 0,
  process_count: int = 1,
) -> Iterator[EvalBatch]:
  """Centre crops of the images at `indices`, each once and in that order.

  Every process yields the same number of batches; the last one is padded.
  Records that are not asked for are read but not decoded.

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
  for image, _, wanted, good in _eval_steps(config, dataset, own, len(rows)):
    label = np.where(wanted >= 0, dataset.labels[wanted], UNLABELLED)
    yield EvalBatch(image, label.astype(np.int32), wanted, good)


def _eval_steps(
  config: ConfigDict, dataset: Dataset, indices: np.ndarray, rows: int
) -> Iterator[Any]:
  if config.data.backend == 'device':
    from semppl_jax.data import in_memory

    return in_memory.eval_steps(config, dataset, indices, rows)
  from semppl_jax.data.tf import pipeline  # TensorFlow.

  elements = pipeline.eval_steps(config, dataset.source, indices, rows)
  return elements.as_numpy_iterator()


def _host_batch(
  element: Any,
  parts: list[tuple[batch_layout.Stream, batch_layout.Share]],
  train: Dataset,
  known: np.ndarray,
) -> HostBatch:
  for (stream, _), decoded in zip(parts, element, strict=True):
    _check_blocks(decoded.wanted, decoded.good, stream.block, train)
  kept = [
    _map(lambda x, share=share: x[share.keep], decoded)
    for (_, share), decoded in zip(parts, element, strict=True)
  ]
  row, index, wanted, good = _merge(kept, [s.places for _, s in parts])
  label = train.labels[index]
  facts: dict[str, Any] = dict(
    label=np.where(known[index], label, UNLABELLED).astype(np.int32),
    index=index,
    diagnostic_label=label,
  )
  views = row.crops._replace(mask=row.crops.mask if len(row.masked) else None)
  if isinstance(views, Canvas):
    batch = Uncut(views, **facts)
  else:
    batch = Batch(**views._asdict(), **facts)
  unmasked = int((~row.masked).sum()) if len(row.masked) else None
  return HostBatch(batch, wanted[~good], unmasked)


def _with_support(
  elements: Iterator[Any],
  parts: list[tuple[batch_layout.Stream, batch_layout.Share]],
  rows: support_set_lib.SupportRows,
  start_step: int,
  train: Dataset,
  known: np.ndarray,
) -> Iterator[HostBatch]:
  for step, (*element, decoded) in enumerate(elements, start_step):
    host = _host_batch(element, parts, train, known)
    images = rows.draw.at(step)
    wanted = images[decoded.wanted]
    _check_blocks(wanted, decoded.good, rows.stream.block, train)
    keep = rows.share.keep
    slot, index = decoded.index[keep], images[decoded.index[keep]]
    facts: dict[str, Any] = dict(
      label=train.labels[index], column=rows.draw.columns(slot), index=index
    )
    views = _map(lambda x, keep=keep: x[keep], decoded.rows)
    if isinstance(views, Canvas):
      support = UncutSupport(views._replace(mask=None), **facts)
    else:
      support = Support(views, **facts)
    lost = wanted[keep][~decoded.good[keep]]
    yield host._replace(
      batch=host.batch._replace(support=support),
      corrupt=np.concatenate([host.corrupt, lost]),
    )


def _check_blocks(
  wanted: np.ndarray, good: np.ndarray, block: int, train: Dataset
) -> None:
  """Raises if a block has nothing to fill its gaps with."""
  dead = ~good.reshape(-1, block).any(axis=1)
  if dead.any():
    names = train.ids[wanted.reshape(-1, block)[dead][0]]
    raise ValueError(
      f'{train.name!r} has {count_and_names("unreadable image(s)", names)}, which are '
      'all of a block of rows, so that none can stand in for another.'
    )


def _merge(trees: list[Any], places: list[np.ndarray]) -> Any:
  """Puts the rows of several streams where they belong in the batch."""
  if len(trees) == 1:
    return trees[0]
  total = sum(map(len, places))

  def join(*arrays: np.ndarray) -> np.ndarray:
    joined = np.empty((total, *arrays[0].shape[1:]), arrays[0].dtype)
    for array, place in zip(arrays, places, strict=True):
      joined[place] = array
    return joined

  return _map(join, *trees)


def _map(f: Any, *trees: Any) -> Any:
  """Maps over tuples of tuples of arrays, as tf.data gives them."""
  if isinstance(trees[0], tuple):
    made = [_map(f, *leaves) for leaves in zip(*trees, strict=True)]
    kind: Any = type(trees[0])
    return kind(*made) if hasattr(kind, '_fields') else tuple(made)
  return f(*trees)
