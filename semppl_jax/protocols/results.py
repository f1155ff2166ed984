"""Results of an evaluation: one JSON file, and its table."""

import hashlib
import json
import pathlib
from typing import Any

import jax
import numpy as np

from semppl_jax import __version__
from semppl_jax.evaluators.metrics import Metrics
from semppl_jax.protocols.setup import Context
from semppl_jax.runtime import mesh as mesh_lib, subprocesses
from semppl_jax.runtime.errors import InputError
from semppl_jax.runtime.files import write_text
from semppl_jax.runtime.tables import fixed_width

FILE = 'evaluation.json'
# Roles of a model: the weights under evaluation, or trained from scratch.
FIGURES, BASELINE = 'figures', 'baseline'
# Keys that are equal for all results of one file.
_IDENTITY = ('weights', 'settings', 'data', 'labels')


class EvaluationResults:
  """Metrics by protocol and role; each addition is written at once."""

  def __init__(self, context: Context):
    """Reads earlier results of the same evaluation from its directory.

    Raises:
      InputError: the directory holds another evaluation.
    """
    self._path = context.workdir / FILE
    self.content = _header(context)
    self._sweeps = context.sweeps
    if self._path.exists():
      before = self._read()
      differ = [x for x in _IDENTITY if before.get(x) != self.content[x]]
      if differ:
        raise InputError(
          f'{context.workdir} holds an evaluation with other'
          f' {" and ".join(differ)} (of {before.get("checkpoint")}); name'
          ' another --workdir.'
        )
      self.content['protocols'] = before['protocols']
      self._sweeps |= before['sweeps']
    # Before training, so that runs in this directory belong to these weights.
    self._write()

  def has(self, protocol: str, role: str) -> bool:
    """Returns True if the metrics of a protocol and role are known."""
    return role in self.content['protocols'].get(protocol, {})

  def add(self, protocol: str, role: str, metrics: Metrics) -> None:
    """Adds metrics and writes the file atomically."""
    self.content['protocols'].setdefault(protocol, {})[role] = metrics
    self.content['sweeps'] = dict(self._sweeps)
    self._write()

  def _read(self) -> dict[str, Any]:
    try:
      return json.loads(self._path.read_text())
    except ValueError as error:
      raise InputError(
        f'{self._path} is not a file of this program; remove it, or name'
        ' another --workdir.'
      ) from error

  def _write(self) -> None:
    if jax.process_index() == 0:
      self._path.parent.mkdir(parents=True, exist_ok=True)
      write_text(self._path, json.dumps(self.content, indent=2) + '\n')

  def describe(self) -> str:
    """Returns the results as a table."""
    c = self.content
    tables = c['protocols'].values()
    both = any(BASELINE in table for table in tables)
    names = [n for table in tables for role in table.values() for n in role]
    width = max(map(len, names), default=0)
    rows = [['', 'these weights', 'labels only']]
    for table in tables:
      ours, theirs = table.get(FIGURES, {}), table.get(BASELINE, {})
      for name in ours | theirs:
        cells = (ours.get(name), theirs.get(name))
        rows.append([name, *('-' if x is None else f'{x:.1%}' for x in cells)])
    columns = 2 + both
    shown = fixed_width(
      [row[:columns] for row in rows], (f'>{width}', '>15', '>13')[:columns]
    )
    return (
      f'{c["checkpoint"]}: {c["labelled_images"]:,} labels,'
      f' {c["test_images"]:,} test images of {c["classes"]} classes.\n'
      f'{shown}\nWritten to {self._path}.'
    )


def _header(context: Context) -> dict[str, Any]:
  train, test = context.splits.train, context.test
  return {
    'checkpoint': context.weights.origin,
    'weights': _digest(context),
    'settings': json.loads(json.dumps(context.config.to_dict())),
    'seed': context.config.seed,
    'data': {
      'train': train.fingerprint,
      'test': test.fingerprint,
      'names': [train.name, test.name],
    },
    'labels': context.subset.hash,
    'labelled_images': len(context.subset.index),
    'train_images': train.size,
    'test_images': int((test.labels >= 0).sum()),
    'classes': context.classes,
    'devices': mesh_lib.describe(context.mesh),
    'version': __version__,
    'commit': _commit(),
    'protocols': {},
    'sweeps': {},
  }


def _digest(context: Context) -> str:
  """Returns the SHA-256 of the weights; each step of a run has its own."""
  sha = hashlib.sha256()
  for tree in (context.weights.params, context.weights.net_state):
    for module in sorted(tree):
      for name in sorted(tree[module]):
        sha.update(f'{module}/{name}'.encode())
        sha.update(np.ascontiguousarray(tree[module][name]).tobytes())
  return sha.hexdigest()


def _commit() -> str | None:
  """Returns the commit of the source tree, or None outside of one."""
  try:
    done = subprocesses.run(
      ['git', 'rev-parse', 'HEAD'],
      subprocesses.Limits(minutes=0.2),
      cwd=pathlib.Path(__file__).parent,
    )
  except OSError:
    return None
  return done.output.strip() if done.status == 0 else None
