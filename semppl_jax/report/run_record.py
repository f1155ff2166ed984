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

from semppl_jax.config import loading
from semppl_jax.exchange import run_checkpoint as run_checkpoint_lib
from semppl_jax.runtime import errors, files as files_lib
from semppl_jax.runtime.errors import InputError
from semppl_jax.training import (
  pseudo_label_log,
  summary,
  timer,
)

_METRICS, _CONFIG = 'metrics.jsonl', 'config.json'
_EVALUATION, _BENCH = 'evaluation.json', 'bench.json'
# What other types than these would break.
_FACTS = {
  **dict.fromkeys(
    ('batch_size', 'total_steps', 'train_images', 'labelled_images',
     'test_images'), int,
  ),
  **dict.fromkeys(
    ('method', 'data', 'data_name', 'test_data', 'label_subset', 'masks'), str
  ),
  **dict.fromkeys(('class_names', 'labelled_per_class', 'starts'), list),
}  # fmt: skip
_SUMMARY = {'steps': int, 'knn': dict}
_COLUMNS = ('index', 'label', 'true', 'share')
_MOST_LINES = 2000


class CourseError(InputError):
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
    facts: of `run.json`, and of the summary where that has none; what is not
      known is not there.
    config: its config, or None.
    fields: the same by dotted name.
    metrics: series by name.
    guesses: lines of `pseudo_labels.jsonl`, of so many at most that they can be
      held; none of runs that are not shown in detail.
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
  def finished(self) -> bool:
    """Whether it is at its end; one that was begun anew is not."""
    return self.summary is not None and self.step >= self.summary['steps']

  @property
  def batch_size(self) -> int:
    """Images per step; 1 where nothing says."""
    size = self.fields.get('batch_size')
    return size if isinstance(size, int) else self.facts.get('batch_size', 1)

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names of the classes; () where they are not known."""
    return tuple(map(str, self.facts.get('class_names', ())))

  @property
  def method(self) -> str:
    """What it learns by."""
    return str(self.fields.get('method', self.facts.get('method', '?')))


def read_all(
  places: Sequence[str | os.PathLike[str]], detailed: int = 1
) -> list[Course]:
  """Reads runs, in their order.

  Args:
    places: their directories.
    detailed: how many of them, from the first on, with their pseudo-labels.

  Raises:
    CourseError: one of them is no run; says which and what a run has.
  """
  paths = [epath.Path(os.path.expanduser(place)) for place in places]
  names = distinct([str(_absolute(path)).rstrip('/') for path in paths])
  return [
    read(path, name, with_guesses=n < detailed)
    for n, (path, name) in enumerate(zip(paths, names, strict=True))
  ]


def read(path: epath.Path, name: str, with_guesses: bool = True) -> Course:
  """Reads one run; raises as `read_all`."""
  files = (_METRICS, _CONFIG, summary.RUN_FILE)
  if not any((path / file).exists() for file in files):
    reason = 'is no run' if path.exists() else 'is not there'
    raise CourseError(
      f'{path} {reason}: a run has one of {", ".join(files)}, and is what'
      ' --workdir of semppl_jax.main names.'
    )
  problems: list[str] = []
  fields = _fields(_json(path / _CONFIG, problems) or {}, problems)
  end = _of_types(_json(path / summary.FILE, problems), _SUMMARY)
  facts = _of_types(_json(path / summary.RUN_FILE, problems), _FACTS)
  home = _absolute(path)
  beside = home.parent / f'{home.name}-evaluation'
  return Course(
    name=name,
    path=path,
    facts=_of_types(end, _FACTS) | facts,
    config=_config(fields, problems),
    fields=fields,
    metrics=_series(_lines(path / _METRICS, problems)),
    guesses=_guesses(path, problems) if with_guesses else (),
    timing=_lines(path / timer.FILE, problems),
    summary=end if 'steps' in end else None,
    evaluation=_json(path / _EVALUATION, problems)
    or _json(beside / _EVALUATION, problems),
    bench=_json(path / _BENCH, problems),
    problems=problems,
  )


def _absolute(path: epath.Path) -> epath.Path:
  """The path with all its names; that of a bucket has them."""
  return path if '://' in str(path) else path.absolute()


def _of_types(
  content: Mapping[str, Any] | None, types: Mapping[str, type]
) -> dict[str, Any]:
  """What of a file is of the type that it should be."""
  return {
    name: value
    for name, value in (content or {}).items()
    if isinstance(value, types.get(name, object)) and value is not None
  }


def _fields(content: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
  """A config by dotted name."""
  try:
    return loading.to_flat_dict(ml_collections.ConfigDict(content))
  except (TypeError, ValueError) as error:
    problems.append(f'{_CONFIG} is of no run: {errors.first_line(error)}.')
    return {}


def _config(
  fields: Mapping[str, Any], problems: list[str]
) -> ml_collections.ConfigDict | None:
  if not fields:
    return None
  try:
    return run_checkpoint_lib.settings(fields)
  except (TypeError, ValueError, KeyError) as error:
    problems.append(f'{_CONFIG} is of no run: {errors.first_line(error)}.')
    return None


def _guesses(path: epath.Path, problems: list[str]) -> list[dict[str, Any]]:
  """The lines whose columns can be read, evenly thinned where they are many."""
  lines = [
    line
    for line in _lines(path / pseudo_label_log.FILE, problems)
    if all(isinstance(line.get(name), list) for name in _COLUMNS)
  ]
  return lines[:: -(-len(lines) // _MOST_LINES)] if lines else []


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
    lines, damaged = files_lib.read_json_lines(path)
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
