"""Rows of a table, each kept in a file of a folder.

A row that is kept is not made again as long as config, slice and versions are
the same. One that exceeded a limit is made again under a higher one, and one
that could not be made always.
"""

from collections.abc import Mapping
import hashlib
import json
import pathlib
from typing import Any, NamedTuple

import ml_collections

from semppl_jax.config import loading
from semppl_jax.runtime import files as files_lib
from semppl_jax.runtime.files import write_text
from semppl_jax.tools.compile.limits import Limits
from semppl_jax.tools.compile.topologies import Row

# Impossible is what the config forbids, as a batch that cores cannot share out.
COMPILED, OVER = 'compiled', 'over a limit'
IMPOSSIBLE, FAILED = 'impossible', 'failed'


class Place(NamedTuple):
  """Where rows are kept, and which of those there count.

  Attributes:
    folder: of a JSON file for each row.
    limits: what compiling a row may take.
    versions: of what compiles.
  """

  folder: pathlib.Path
  limits: Limits
  versions: Mapping[str, str]


def at(out: str | None, limits: Limits, versions: Mapping[str, str]) -> Place:
  """Returns a place to keep rows in, whose folder it makes.

  Args:
    out: the folder.
    limits: what compiling a row may take.
    versions: of what compiles.

  Raises:
    ConfigError: it cannot be written to.
  """
  return Place(files_lib.output_dir(out), limits, versions)


def kept(row: Row, place: Place) -> dict[str, Any] | None:
  """Returns what is kept of a row, if it counts.

  Args:
    row: the row.
    place: where it would be.
  """
  key = _key(row, place)
  try:
    record = json.loads(_file(row, key, place).read_text())
  except (OSError, ValueError):
    return None
  if not isinstance(record, dict) or record.get('key') != key:
    return None
  if record['outcome'] == OVER:
    field = record['broken']
    higher = getattr(place.limits, field) > record['limits'][field]
    return None if higher else record
  return record if record['outcome'] == COMPILED else None


def keep(row: Row, place: Place, record: dict[str, Any]) -> dict[str, Any]:
  """Keeps what a row came to, and returns it.

  Args:
    row: the row.
    place: where to.
    record: `outcome`, and for people what they may want to know.
  """
  key = _key(row, place)
  record = {'key': key, **record, 'limits': place.limits._asdict()}
  write_text(_file(row, key, place), json.dumps(record, indent=2) + '\n')
  return record


def digest(config: ml_collections.ConfigDict) -> str:
  """Returns a hash of all fields, wherever they were set."""
  text = config.to_json_best_effort(sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _key(row: Row, place: Place) -> dict[str, Any]:
  """What must be the same for a record to be that of a row."""
  return {
    'config': row.config,
    'topology': row.topology,
    'fields': digest(loading.load(row.config, row.overrides)),
    'versions': dict(place.versions),
  }


def _file(row: Row, key: dict[str, Any], place: Place) -> pathlib.Path:
  slice_ = row.topology.replace(':', '-')
  stem = pathlib.Path(row.config).stem
  return place.folder / f'{stem}.{slice_}.{key["fields"][:8]}.json'
