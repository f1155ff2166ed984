"""What a run has written so far, read from its directory alone.

Any of the files may be missing or cut short: a run may go on, have been killed,
or be of an earlier version.
"""

from collections.abc import Mapping, Sequence
import json
import os
from typing import Any, NamedTuple

from etils import epath
import ml_collections
import numpy as np

from semppl_jax import guess_log, json_lines, run_facts, stopwatch, summary
from semppl_jax.exchange import run as run_lib

_METRICS, _CONFIG = 'metrics.jsonl', 'config.json'
_EVALUATION, _BENCH = 'evaluation.json', 'bench.json'


class CourseError(ValueError):
  """A directory is no run."""


class Series(NamedTuple):
  """A metric over the steps.

  Attributes:
    step: steps [n], ascending.
    value: values [n].
  """

  step: np.ndarray
  value: np.ndarray

  @property
  def last(self) -> float:
    """The newest value."""
    return float(self.value[-1])

  def recent(self, share: float = 0.25) -> float:
    """Mean over the last share of the values, of one at least."""
    return float(np.mean(self.value[-max(1, round(share * len(self.value))) :]))


class Course(NamedTuple):
  """A run.

  Attributes:
    name: what tells it from the other runs.
    path: its directory.
    facts: of `run.json`; empty where there is none.
    config: its config, or None.
    fields: the same by dotted name.
    metrics: series by name.
    guesses: lines of `pseudo_labels.jsonl`.
    timing: lines of `timing.jsonl`.
    summary: of a finished run, else None.
    evaluation: `evaluation.json` of the run, or of a folder beside it that is
      called like it with `-evaluation`, or None.
    bench: `bench.json`, as `tools.bench --out` writes it, or None.
    problems: sentences about files that are damaged.
  """

  name: str
  path: epath.Path
  facts: Mapping[str, Any]
  config: ml_collections.ConfigDict | None
  fields: Mapping[str, Any]
  metrics: Mapping[str, Series]
  guesses: Sequence[Mapping[str, Any]]
  timing: Sequence[Mapping[str, Any]]
  summary: Mapping[str, Any] | None
  evaluation: Mapping[str, Any] | None
  bench: Mapping[str, Any] | None
  problems: Sequence[str]

  @property
  def step(self) -> int:
    """The newest step that is recorded."""
    return max((int(s.step[-1]) for s in self.metrics.values()), default=0)

  @property
  def total_steps(self) -> int | None:
    """Steps of the whole run, where it says."""
    return self.facts.get('total_steps')

  @property
  def batch_size(self) -> int:
    """Images per step; 1 where nothing says."""
    return int(self.fields.get('batch_size', self.facts.get('batch_size', 1)))

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names of the classes; () where they are not known."""
    return tuple(self.facts.get('class_names', ()))

  @property
  def method(self) -> str:
    """What it learns by."""
    return str(self.fields.get('method', self.facts.get('method', '?')))


def read_all(places: Sequence[str | os.PathLike[str]]) -> list[Course]:
  """Reads runs, in their order.

  Raises:
    CourseError: one of them is no run; says which and what a run has.
  """
  paths = [epath.Path(place).expanduser() for place in places]
  names = distinct([str(path).rstrip('/') for path in paths])
  return [read(path, name) for path, name in zip(paths, names, strict=True)]


def read(path: epath.Path, name: str) -> Course:
  """Reads one run; raises as `read_all`."""
  files = (_METRICS, _CONFIG, run_facts.FILE)
  if not any((path / file).exists() for file in files):
    reason = 'is no run' if path.exists() else 'is not there'
    raise CourseError(
      f'{path} {reason}: a run has one of {", ".join(files)}, and is what'
      ' --workdir of semppl_jax.main names.'
    )
  problems: list[str] = []
  metrics = _lines(path / _METRICS, problems)
  fields = _flat(_json(path / _CONFIG, problems) or {})
  beside = path.parent / f'{path.name}-evaluation'
  return Course(
    name=name,
    path=path,
    facts=run_facts.read(path),
    config=run_lib.settings(fields) if fields else None,
    fields=fields,
    metrics=_series(metrics),
    guesses=_lines(path / guess_log.FILE, problems),
    timing=_lines(path / stopwatch.FILE, problems),
    summary=_json(path / summary.FILE, problems),
    evaluation=_json(path / _EVALUATION, problems)
    or _json(beside / _EVALUATION, problems),
    bench=_json(path / _BENCH, problems),
    problems=problems,
  )


def distinct(paths: Sequence[str]) -> list[str]:
  """The shortest ends of paths that tell them apart, in whole names."""
  parts = [path.split('/') for path in paths]
  for length in range(1, max(map(len, parts)) + 1):
    names = ['/'.join(part[-length:]) for part in parts]
    if len(set(names)) == len(names):
      return names
  return [f'{path} ({n})' for n, path in enumerate(paths, 1)]


def _lines(path: epath.Path, problems: list[str]) -> list[dict[str, Any]]:
  try:
    lines, damaged = json_lines.read(path)
  except OSError as error:
    problems.append(f'{path.name} cannot be read ({error}).')
    return []
  if damaged:
    problems.append(
      f'{path.name} has {damaged} damaged line(s), as of a run that was killed'
      ' while it wrote, or writes now; they are left out.'
    )
  return lines


def _json(path: epath.Path, problems: list[str]) -> dict[str, Any] | None:
  try:
    if not path.exists():
      return None
    content = json.loads(path.read_text())
  except (OSError, ValueError):
    content = None
  if not isinstance(content, dict):
    problems.append(f'{path.name} is damaged and left out.')
    return None
  return content


def _series(lines: Sequence[Mapping[str, Any]]) -> dict[str, Series]:
  found: dict[str, dict[int, float]] = {}
  for line in lines:
    for name, value in line.items():
      if name != 'step' and isinstance(value, int | float):
        # Of a step that stands there twice, the later record.
        found.setdefault(name, {})[line['step']] = float(value)
  return {
    name: Series(
      np.asarray(sorted(values)),
      np.asarray([values[step] for step in sorted(values)]),
    )
    for name, values in found.items()
  }


def _flat(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  fields: dict[str, Any] = {}
  for name, value in tree.items():
    if isinstance(value, Mapping):
      fields |= _flat(value, f'{prefix}{name}.')
    else:
      fields[f'{prefix}{name}'] = value
  return fields
