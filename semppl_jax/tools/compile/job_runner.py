"""Compiles rows one by one, each in a process of its own, under limits."""

from collections.abc import Callable, Iterator, Sequence
import json
import logging
import pathlib
import sys
import tempfile
from typing import Any

from semppl_jax.runtime import errors, signals
from semppl_jax.tools.compile import children, limits as limits_lib, row_files
from semppl_jax.tools.compile.limits import Limits
from semppl_jax.tools.compile.row_files import (
  COMPILED,
  FAILED,
  IMPOSSIBLE,
  OVER,
  Place,
)
from semppl_jax.tools.compile.topologies import Row

WHAT_IS_LEFT = 'Rows that were made are kept; the same command goes on.'

_log = logging.getLogger(__name__)
_Run = Callable[[Sequence[str], Limits], children.Ended]


def make(
  rows: Sequence[Row], place: Place, run: _Run = children.run
) -> Iterator[tuple[Row, dict[str, Any]]]:
  """Yields each row and its record, compiling those that are not kept.

  Args:
    rows: what to compile.
    place: where rows are kept.
    run: runs a command under limits.
  """
  # A polite request to end would leave a running compiler behind.
  with signals.raise_at_signal() as unless_stopped:
    for row in rows:
      unless_stopped()
      record = row_files.kept(row, place)
      if record is None:
        _log.info('Compiling %s for %s.', row.config, row.topology)
        made = _compile(row, place.limits, run)
        record = row_files.keep(row, place, made)
      yield row, record


def _compile(row: Row, limits: Limits, run: _Run) -> dict[str, Any]:
  with tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder) / 'report.json'
    ended = run(_command(row, out), limits)
    report = json.loads(out.read_text()) if out.exists() else None
  return {
    'outcome': _outcome(ended, report),
    'reason': None if report else _reason(ended, limits),
    'report': report,
    'broken': ended.broken,
    'seconds': ended.seconds,
    'peak_gib': ended.gib,
  }


def _command(row: Row, out: pathlib.Path) -> list[str]:
  return [
    *(sys.executable, '-m', 'semppl_jax.tools.compile_check'),
    *(f'--config={row.config}', f'--topology={row.topology}'),
    *(f'--out={out}', '--nooverhead'),
    *(f'--config.{each}' for each in row.overrides),
  ]


def _outcome(ended: children.Ended, report: dict[str, Any] | None) -> str:
  if report is not None:
    return COMPILED
  if ended.broken:
    return OVER
  return IMPOSSIBLE if ended.status == errors.BAD_INPUT else FAILED


def _reason(ended: children.Ended, limits: Limits) -> str:
  if ended.broken:
    return limits_lib.sentence(limits, ended.broken)
  return children.complaint(ended)
