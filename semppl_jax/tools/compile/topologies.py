"""TPU slices by their number of cores, and the one that each config needs."""

from collections.abc import Sequence
import pathlib
import re
from typing import NamedTuple

from semppl_jax.config import loading


class Row(NamedTuple):
  """Config file, slice as `'v3:8x8'` and changed fields of a table's row."""

  config: str
  topology: str
  overrides: tuple[str, ...] = ()

  @property
  def title(self) -> str:
    """Name of config and slice, as the table begins with."""
    return f'{pathlib.Path(self.config).stem} {self.topology}'


# Slices, and the configs of the papers that are compiled for them. With 1 % of
# the labels the step is the same: no row. PAWS's 6,720 labelled rows cannot be
# divided among more than 64 of these cores.
_CONFIGS = {
  'v3:8x8': (
    'resnet50_10pct sk_resnet50_10pct relicv2_resnet50_10pct'
    ' simclr_resnet50_10pct simclrv2_resnet50_10pct suncet_resnet50_10pct'
    ' byol_resnet50_10pct swav_resnet50_10pct supervised_resnet50_10pct'
    ' resnet50x2_10pct'
  ),
  'v3:8x4': 'paws_resnet50_10pct paws_resnet50x2_10pct paws_resnet50x4_10pct',
  'v3:16x16': (
    'resnet50x2_10pct resnet50x4_10pct resnet200x2_10pct sk_resnet200x2_10pct'
  ),
  'v4:4x4x4': 'resnet50_10pct',
  'v5e:8x8': 'resnet50_10pct',
  'v6e:8x8': 'resnet50_10pct',
}
ROWS = tuple(
  Row(f'configs/{name}.py', topology)
  for topology, names in _CONFIGS.items()
  for name in names.split()
)

# By chip and number of JAX devices: cores, but chips of v5p. Pods of v5e and
# v6e have at most 256.
_SHAPES = {
  'v3': {8: '2x2', 32: '4x4', 128: '8x8', 512: '16x16', 2048: '32x32'},
  'v4': {8: '2x2x1', 32: '2x2x4', 128: '4x4x4', 512: '4x8x8', 2048: '8x8x16'},
  'v5e': {8: '2x4', 32: '4x8', 128: '8x16', 256: '16x16'},
  'v5p': {8: '2x2x2', 32: '2x4x4', 128: '4x4x8', 512: '8x8x8', 2048: '8x16x16'},
  'v6e': {8: '2x4', 32: '4x8', 128: '8x16', 256: '16x16'},
}
CHIPS = (*_SHAPES,)


def core_counts(chip: str) -> list[int]:
  """Returns the numbers of cores of a chip's slices, ascending.

  Raises:
    ConfigError: the chip is unknown.
  """
  if chip not in CHIPS:
    raise loading.ConfigError(
      f'--chip={chip} must be one of {", ".join(CHIPS)}.'
    )
  return sorted(_SHAPES[chip])


def with_cores(chip: str, cores: int) -> str:
  """Returns the slice of a chip with a number of cores.

  Raises:
    ConfigError: the chip or the slice is unknown.
  """
  known = core_counts(chip)
  if cores not in known:
    raise loading.ConfigError(
      f'--cores={cores}: {chip} has slices of'
      f' {", ".join(map(str, known))} cores.'
    )
  return f'{chip}:{_SHAPES[chip][cores]}'


def larger(topology: str, cores: int, memory_ratio: float) -> str | None:
  """Returns the next slice of the chip that a step may fit, or None.

  It would fit if all memory were sharded; weights are not, so it has to be
  checked.

  Args:
    topology: slice that is too small.
    cores: number of its cores.
    memory_ratio: memory of the step over the capacity; 1 where unknown.
  """
  chip = topology.partition(':')[0]
  known = sorted(_SHAPES.get(chip, ()))
  enough = [n for n in known if n > cores and n >= cores * memory_ratio]
  return with_cores(chip, enough[0]) if enough else None


def select(rows: Sequence[Row], pattern: str) -> list[Row]:
  """Returns the rows whose title matches a regular expression.

  Raises:
    ConfigError: it is invalid, or no row matches.
  """
  try:
    selected = [x for x in rows if re.search(pattern, x.title)]
  except re.error as error:
    raise loading.ConfigError(
      f'--rows={pattern} is not a regular expression: {error}.'
    ) from error
  if not selected:
    raise loading.ConfigError(
      f'--rows={pattern} matches no row; rows are'
      f' {", ".join(x.title for x in rows)}.'
    )
  return selected
