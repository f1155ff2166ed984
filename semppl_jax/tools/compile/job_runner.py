"""Compiles rows of a table, each in a process under limits, and keeps them.

A kept record is used again as long as config, slice and versions are the same.
A row that exceeded a limit is compiled again under a higher one, and a row that
failed always.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import hashlib
import json
import logging
import pathlib
import sys
import tempfile
from typing import Any, NamedTuple

from absl import flags
import ml_collections

from semppl_jax.config import loading
from semppl_jax.runtime import errors, files, signals, subprocesses
from semppl_jax.runtime.subprocesses import Finished, Limits
from semppl_jax.tools.compile.topologies import Row

RESUME_HINT = 'Finished rows are kept; run the same command again to continue.'
# Outcomes. A config may forbid a slice, as by a batch that it cannot divide.
COMPILED, OVER_LIMIT = 'compiled', 'over a limit'
IMPOSSIBLE, FAILED = 'impossible', 'failed'

_log = logging.getLogger(__name__)
Record = dict[str, Any]
_Run = Callable[[Sequence[str], Limits], Finished]


class Store(NamedTuple):
  """Folder of records; those of other limits or versions may not count."""

  folder: pathlib.Path
  limits: Limits
  versions: Mapping[str, str]


def define_limit_flags() -> Callable[[], Limits]:
  """Defines `--limit_minutes` and `--limit_gib`; returns their reader."""
  minutes = flags.DEFINE_float(
    'limit_minutes', 30.0, 'Minutes to compile a row of the table.', 0.0
  )
  gib = flags.DEFINE_float(
    'limit_gib', 20.0, 'GiB of the process that compiles a row.', 0.0
  )
  return lambda: Limits(minutes.value, gib.value)


def open_store(
  out: str | None, limits: Limits, versions: Mapping[str, str]
) -> Store:
  """Returns the store in the folder `--out`, which it makes.

  Raises:
    InputError: the folder cannot be written to.
  """
  return Store(files.output_dir(out), limits, versions)


def compile_rows(
  rows: Sequence[Row], store: Store, run: _Run = subprocesses.run
) -> Iterator[tuple[Row, Record]]:
  """Yields each row and its record, compiling those that are not kept."""
  # The default of SIGTERM would leave a running compiler behind.
  with signals.raise_at_signal() as raise_if_signalled:
    for row in rows:
      raise_if_signalled()
      record = load(row, store)
      if record is None:
        _log.info('Compiling %s for %s.', row.config, row.topology)
        record = _save(row, store, _compile(row, store.limits, run))
      yield row, record


def load(row: Row, store: Store) -> Record | None:
  """Returns the record of a row, if there is one that counts."""
  key = _key(row, store)
  try:
    record = json.loads(_file(row, key, store).read_text())
  except (OSError, ValueError):
    return None
  if not isinstance(record, dict) or record.get('key') != key:
    return None
  if record['outcome'] == OVER_LIMIT:
    field = record['broken']
    higher = getattr(store.limits, field) > record['limits'][field]
    return None if higher else record
  return record if record['outcome'] == COMPILED else None


def config_digest(config: ml_collections.ConfigDict) -> str:
  """Returns a hash of all fields, wherever they were set."""
  text = config.to_json_best_effort(sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _save(row: Row, store: Store, record: Record) -> Record:
  key = _key(row, store)
  record = {'key': key, **record, 'limits': store.limits._asdict()}
  files.write_text(_file(row, key, store), json.dumps(record, indent=2) + '\n')
  return record


def _key(row: Row, store: Store) -> Record:
  """Values that a record shares with the row that it is used for."""
  return {
    'config': row.config,
    'topology': row.topology,
    'fields': config_digest(loading.load(row.config, row.overrides)),
    'versions': dict(store.versions),
  }


def _file(row: Row, key: Record, store: Store) -> pathlib.Path:
  topology = row.topology.replace(':', '-')
  stem = pathlib.Path(row.config).stem
  return store.folder / f'{stem}.{topology}.{key["fields"][:8]}.json'


def _compile(row: Row, limits: Limits, run: _Run) -> Record:
  with tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder) / 'report.json'
    finished = run(_command(row, out), limits)
    report = json.loads(out.read_text()) if out.exists() else None
  return {
    'outcome': _outcome(finished, report),
    'reason': None if report else _reason(finished, limits),
    'report': report,
    'broken': finished.exceeded,
    'seconds': finished.seconds,
    'peak_gib': finished.gib,
  }


def _command(row: Row, out: pathlib.Path) -> list[str]:
  return [
    *(sys.executable, '-m', 'semppl_jax.tools.compile_check'),
    *(f'--config={row.config}', f'--topology={row.topology}'),
    *(f'--out={out}', '--nooverhead'),
    *(f'--config.{each}' for each in row.overrides),
  ]


def _outcome(finished: Finished, report: Record | None) -> str:
  if report is not None:
    return COMPILED
  if finished.exceeded:
    return OVER_LIMIT
  return IMPOSSIBLE if finished.status == errors.BAD_INPUT else FAILED


def _reason(finished: Finished, limits: Limits) -> str:
  field = finished.exceeded
  if field is None:
    return finished.last_error()
  unit = {'minutes': 'minutes', 'gib': 'GiB'}[field]
  return f'needs over {getattr(limits, field):g} {unit} to compile'
