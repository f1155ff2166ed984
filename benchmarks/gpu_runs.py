"""Measures rows, each side in a process of its own, and keeps the reports.

JAX takes most of the memory of a GPU when it starts, so that PyTorch would have
none beside it.
"""

from collections.abc import Callable, Sequence
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import tempfile
from typing import Any, NamedTuple

import gpu_rows
from gpu_rows import OURS, Row, Timing

from semppl_jax.config import loading
from semppl_jax.runtime import subprocesses, versions
from semppl_jax.runtime.files import write_text
from semppl_jax.runtime.subprocesses import Finished
from semppl_jax.tools.compile.job_runner import config_digest

_NO_TORCH = 'PyTorch is not installed'
Run = Callable[[Sequence[str]], Finished]


class Measured(NamedTuple):
  """Result of measuring a row on one side.

  Attributes:
    report: content of the JSON file, or None if it failed.
    reason: why it failed.
  """

  report: dict[str, Any] | None
  reason: str = ''


Sides = dict[str, Measured]


def sides(
  row: Row,
  folder: pathlib.Path,
  timed: Timing,
  torch_sides: Sequence[str],
  run: Run = subprocesses.run,
) -> Sides:
  """Measures a row on every side that the folder has no report of.

  Args:
    row: the step.
    folder: where JSON files are kept.
    timed: numbers of steps.
    torch_sides: the sides of PyTorch.
    run: runs a command.
  """
  ours = _measure(row, OURS, folder, timed, '', run)
  results = {OURS: ours}
  for side in torch_sides:
    if importlib.util.find_spec('torch') is None:
      results[side] = Measured(None, _NO_TORCH)
    elif ours.report is None:
      results[side] = Measured(None, 'there is no step to hold it against')
    else:
      device = 'cpu' if ours.report['device_kind'] == 'cpu' else 'cuda'
      results[side] = _measure(row, side, folder, timed, device, run)
  return results


def _measure(
  row: Row,
  side: str,
  folder: pathlib.Path,
  timed: Timing,
  device: str,
  run: Run,
) -> Measured:
  path = folder / f'{row.name}.{side}.json'
  key = _key(row, side, timed, device)
  report = _load(path, key)
  if report is not None:
    return Measured(report)
  print(f'Measuring {row.title}: {side}.', flush=True)
  with tempfile.TemporaryDirectory() as made:
    out = pathlib.Path(made) / 'report.json'
    command = gpu_rows.command(row, side, timed, device, out)
    finished = run(command)
    if not out.exists():
      return Measured(None, finished.last_error())
    report = json.loads(out.read_text())
  text = json.dumps({'key': key, 'report': report}, indent=2)
  write_text(path, text + '\n')
  return Measured(report)


def _load(path: pathlib.Path, key: dict[str, Any]) -> dict[str, Any] | None:
  try:
    record = json.loads(path.read_text())
    return record['report'] if record['key'] == key else None
  except (OSError, ValueError, KeyError, TypeError):
    return None


def _key(row: Row, side: str, timed: Timing, device: str) -> dict[str, Any]:
  """Values that a report shares with the row that it is used for."""
  key = {
    'fields': config_digest(loading.load(row.config, row.overrides)),
    **timed._asdict(),
  }
  if side == OURS:
    flags = os.environ.get('XLA_FLAGS', '')
    return key | {'versions': versions.installed(), 'xla_flags': flags}
  return key | {'device': device, 'torch': importlib.metadata.version('torch')}
