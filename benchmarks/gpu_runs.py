"""Measures rows, each side in a process of its own, and keeps what it found.

JAX takes most of the memory of a GPU when it starts, so that PyTorch would have
none beside it.
"""

from collections.abc import Callable, Sequence
import importlib.metadata
import importlib.util
import json
import math
import os
import pathlib
import tempfile
from typing import Any, NamedTuple

import gpu_rows
from gpu_rows import OURS, Row, Timing

from semppl_jax.config import loading
from semppl_jax.runtime import versions
from semppl_jax.runtime.files import write_text
from semppl_jax.tools.compile import children, row_files
from semppl_jax.tools.compile.limits import Limits

_UNLIMITED = Limits(math.inf, math.inf)
_NO_TORCH = 'PyTorch is not installed'
Run = Callable[[Sequence[str], Limits], children.Ended]


class Found(NamedTuple):
  """What measuring a row on one side came to.

  Attributes:
    report: what was measured, as its JSON file has it; None: nothing.
    reason: why nothing was.
  """

  report: dict[str, Any] | None
  reason: str = ''


Sides = dict[str, Found]


def sides(
  row: Row,
  folder: pathlib.Path,
  timed: Timing,
  torch_sides: Sequence[str],
  run: Run = children.run,
) -> Sides:
  """Measures a row on every side, but for what the folder has.

  Args:
    row: the step.
    folder: where JSON files are kept.
    timed: how often.
    torch_sides: the sides of PyTorch.
    run: runs a command under limits.
  """
  ours = _measure(row, OURS, folder, timed, '', run)
  found = {OURS: ours}
  for side in torch_sides:
    if importlib.util.find_spec('torch') is None:
      found[side] = Found(None, _NO_TORCH)
    elif ours.report is None:
      found[side] = Found(None, 'there is no step to hold it against')
    else:
      device = 'cpu' if ours.report['device_kind'] == 'cpu' else 'cuda'
      found[side] = _measure(row, side, folder, timed, device, run)
  return found


def _measure(
  row: Row,
  side: str,
  folder: pathlib.Path,
  timed: Timing,
  device: str,
  run: Run,
) -> Found:
  path = folder / f'{row.name}.{side}.json'
  key = _key(row, side, timed, device)
  kept = _kept(path, key)
  if kept is not None:
    return Found(kept)
  print(f'Measuring {row.title}: {side}.', flush=True)
  with tempfile.TemporaryDirectory() as made:
    out = pathlib.Path(made) / 'report.json'
    command = gpu_rows.command(row, side, timed, device, out)
    ended = run(command, _UNLIMITED)
    if not out.exists():
      return Found(None, children.complaint(ended))
    report = json.loads(out.read_text())
  text = json.dumps({'key': key, 'report': report}, indent=2)
  write_text(path, text + '\n')
  return Found(report)


def _kept(path: pathlib.Path, key: dict[str, Any]) -> dict[str, Any] | None:
  try:
    record = json.loads(path.read_text())
    return record['report'] if record['key'] == key else None
  except (OSError, ValueError, KeyError, TypeError):
    return None


def _key(row: Row, side: str, timed: Timing, device: str) -> dict[str, Any]:
  """What must be the same for a report to be that of a row."""
  key = {
    'fields': row_files.digest(loading.load(row.config, row.overrides)),
    **timed._asdict(),
  }
  if side == OURS:
    flags = os.environ.get('XLA_FLAGS', '')
    return key | {'versions': versions.installed(), 'xla_flags': flags}
  return key | {'device': device, 'torch': importlib.metadata.version('torch')}
