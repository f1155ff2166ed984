"""Rows that are compiled to see how a step scales, in two modes."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import ml_collections

from semppl_jax.config import loading
from semppl_jax.tools.compile import topologies as topologies_lib
from semppl_jax.tools.compile.topologies import Row

STRONG, WEAK = 'Strong scaling', 'Weak scaling'
MODES = (STRONG, WEAK)


class Point(NamedTuple):
  """Number of cores in one of the two modes.

  Attributes:
    mode: of `MODES`.
    cores: their number.
    batch_size: images per step, over all of them.
    row: row to compile; None: the batch is not a multiple of the cores.
  """

  mode: str
  cores: int
  batch_size: int
  row: Row | None


def plan(
  path: str,
  overrides: Sequence[str],
  chip: str,
  cores: Sequence[int],
  per_core: int,
) -> list[Point]:
  """Returns a point for every number of cores, in both modes.

  Args:
    path: the config file.
    overrides: fields to change.
    chip: as `'v3'`.
    cores: numbers of cores.
    per_core: images per core, of weak scaling.

  Raises:
    ConfigError: a file, field, chip or slice is not found.
  """
  config = loading.load(path, overrides)
  topologies = {n: topologies_lib.with_cores(chip, n) for n in cores}
  points = []
  for mode in MODES:
    for n, topology in topologies.items():
      weak = mode == WEAK
      batch = per_core * n if weak else config.batch_size
      fields = (*overrides, *_fields(config, batch, n))
      row = None if batch % n else Row(path, topology, fields)
      points.append(Point(mode, n, batch, row))
  return points


def _fields(
  config: ml_collections.ConfigDict, batch_size: int, cores: int
) -> Iterator[str]:
  yield f'batch_size={batch_size}'
  if labelled := config.data.labelled_per_batch:
    share = labelled * batch_size // config.batch_size
    yield f'data.labelled_per_batch={share}'
  if config.eval.batch_size % cores:
    # Not of the train step, but it must be a multiple of the devices.
    yield f'eval.batch_size={cores}'
