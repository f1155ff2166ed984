"""Record of a run: everything that its directory says so far.

Any of the files may be missing or cut short: a run may be in progress, have
been killed, or be of an earlier version.
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
from semppl_jax.training import pseudo_label_log, summary, timer

Json = dict[str, Any]

_METRICS, _CONFIG = 'metrics.jsonl', 'config.json'
_EVALUATION, _BENCH = 'evaluation.json', 'bench.json'
# Types of fields; values of another type are left out.
_METADATA_TYPES = {
  **dict.fromkeys(
    ('batch_size', 'total_steps', 'train_images', 'labelled_images',
     'test_images'), int,
  ),
  **dict.fromkeys(
    ('method', 'data', 'data_name', 'test_data', 'label_subset', 'masks'), str
  ),
  **dict.fromkeys(('class_names', 'labelled_per_class', 'starts'), list),
}  # fmt: skip
_SUMMARY_TYPES = {'steps': int, 'knn': dict}
_COLUMNS = ('index', 'label', 'true', 'share')
_MAX_LINES = 2000


class RunRecordError(InputError):
  """A directory is not a run directory."""


class Series(NamedTuple):
  """A metric over the steps.

  Attributes:
    step: steps [n], ascending.
    value: values [n].
  """

  step: np.ndarray
  value: np.ndarray


class RunRecord(NamedTuple):
  """A run.

  Attributes:
    name: a name that is unique among the runs of the page.
    path: its directory.
    metadata: known fields of `run.json`, and of the summary where it lacks
      them.
    config: its config, or None.
    flat_config: the same by dotted name.
    metrics: series by name.
    pseudo_labels: at most 2,000 lines of `pseudo_labels.jsonl`; none of runs
      that are not shown in detail.
    timing: lines of `timing.jsonl`.
    summary: summary of a finished run, else None.
    evaluation: `evaluation.json` of the run, or of the directory
      `<run>-evaluation` beside it, or None.
    bench: `bench.json`, as `tools.bench --out` writes it, or None.
    problems: sentences about damaged files.
  """

  name: str
  path: epath.Path
  metadata: Json
  config: ml_collections.ConfigDict | None
  flat_config: Json
  metrics: Mapping[str, Series]
  pseudo_labels: Sequence[Json]
  timing: Sequence[Json]
  summary: Json | None
  evaluation: Json | None
  bench: Json | None
  problems: Sequence[str]

  @property
  def step(self) -> int:
    """The newest recorded step."""
    return max((int(s.step[-1]) for s in self.metrics.values()), default=0)

  @property
  def finished(self) -> bool:
    """True at the end of the run; False for one that was restarted."""
    return self.summary is not None and self.step >= self.summary['steps']

  @property
  def batch_size(self) -> int:
    """Images per step; 1 if unknown."""
    size = self.flat_config.get('batch_size')
    return size if isinstance(size, int) else self.metadata.get('batch_size', 1)

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names of the classes; () if unknown."""
    return tuple(map(str, self.metadata.get('class_names', ())))

  @property
  def method(self) -> str:
    """Name of the method."""
    return str(self.flat_config.get('method', self.metadata.get('method', '?')))

  def last(self, metric: str) -> float | None:
    """Returns the newest value of a metric, or None."""
    series = self.metrics.get(metric)
    return None if series is None else float(series.value[-1])

  def recent(self, metric: str) -> float | None:
    """Returns the mean of the last quarter of a metric's records, or None."""
    series = self.metrics.get(metric)
    if series is None:
      return None
    return float(np.mean(series.value[-max(1, round(len(series.value) / 4)) :]))


def read_all(
  directories: Sequence[str | os.PathLike[str]], detailed: int = 1
) -> list[RunRecord]:
  """Reads runs, in their order.

  Args:
    directories: their directories.
    detailed: number of first runs whose pseudo-labels are read too.

  Raises:
    RunRecordError: one of them is not a run directory.
  """
  paths = [epath.Path(os.path.expanduser(path)) for path in directories]
  names = unique_names([str(_absolute(path)).rstrip('/') for path in paths])
  return [
    _read(path, name, with_pseudo_labels=n < detailed)
    for n, (path, name) in enumerate(zip(paths, names, strict=True))
  ]


def _read(path: epath.Path, name: str, with_pseudo_labels: bool) -> RunRecord:
  files = (_METRICS, _CONFIG, summary.RUN_FILE)
  if not any((path / file).exists() for file in files):
    reason = 'is not a run directory' if path.exists() else 'was not found'
    raise RunRecordError(
      f'{path} {reason}: name a --workdir of semppl_jax.main, which has one of'
      f' {", ".join(files)}.'
    )
  problems: list[str] = []
  config, flat = _config(_read_json(path / _CONFIG, problems) or {}, problems)
  end = _typed(_read_json(path / summary.FILE, problems), _SUMMARY_TYPES)
  metadata = _typed(
    _read_json(path / summary.RUN_FILE, problems), _METADATA_TYPES
  )
  home = _absolute(path)
  beside = home.parent / f'{home.name}-evaluation'
  return RunRecord(
    name=name,
    path=path,
    metadata=_typed(end, _METADATA_TYPES) | metadata,
    config=config,
    flat_config=flat,
    metrics=_series(_read_lines(path / _METRICS, problems)),
    pseudo_labels=_pseudo_labels(path, problems) if with_pseudo_labels else (),
    timing=_read_lines(path / timer.FILE, problems),
    summary=end if 'steps' in end else None,
    evaluation=_read_json(path / _EVALUATION, problems)
    or _read_json(beside / _EVALUATION, problems),
    bench=_read_json(path / _BENCH, problems),
    problems=problems,
  )


def _absolute(path: epath.Path) -> epath.Path:
  """Returns an absolute path; one in a bucket is absolute already."""
  return path if '://' in str(path) else path.absolute()


def _typed(content: Json | None, types: Mapping[str, type]) -> Json:
  """Drops fields whose value is None or of the wrong type."""
  return {
    name: value
    for name, value in (content or {}).items()
    if isinstance(value, types.get(name, object)) and value is not None
  }


def _config(
  content: Json, problems: list[str]
) -> tuple[ml_collections.ConfigDict | None, Json]:
  """Returns the config, None if it is invalid, and its fields."""
  flat: Json = {}
  try:
    flat = loading.to_flat_dict(ml_collections.ConfigDict(content))
    return run_checkpoint_lib.run_config(flat) if flat else None, flat
  except (TypeError, ValueError, KeyError) as error:
    problems.append(
      f'{_CONFIG} is not a valid config: {errors.first_line(error)}.'
    )
    return None, flat


def _pseudo_labels(path: epath.Path, problems: list[str]) -> list[Json]:
  """Reads the lines that have all columns, evenly thinned where too many."""
  lines = [
    line
    for line in _read_lines(path / pseudo_label_log.FILE, problems)
    if all(isinstance(line.get(name), list) for name in _COLUMNS)
  ]
  return lines[:: -(-len(lines) // _MAX_LINES)] if lines else []


def unique_names(paths: Sequence[str]) -> list[str]:
  """Returns the shortest ends of paths, in whole names, that are unique."""
  parts = [path.split('/') for path in paths]
  for length in range(1, max(map(len, parts)) + 1):
    names = ['/'.join(part[-length:]) for part in parts]
    if len(set(names)) == len(names):
      return names
  return [f'{path} ({n})' for n, path in enumerate(paths, 1)]


def _read_lines(path: epath.Path, problems: list[str]) -> list[Json]:
  try:
    lines, damaged = files_lib.read_json_lines(path)
  except OSError as error:
    problems.append(f'{path.name} cannot be read ({error}).')
    return []
  if damaged:
    problems.append(
      f'{path.name}: {damaged} damaged line(s) left out. A run that was killed,'
      ' or is writing now, leaves such a line.'
    )
  return lines


def _read_json(path: epath.Path, problems: list[str]) -> Json | None:
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


def _series(lines: Sequence[Json]) -> dict[str, Series]:
  values: dict[str, dict[int, float]] = {}
  for line in lines:
    for name, value in line.items():
      if name != 'step' and isinstance(value, int | float):
        # A later record of the same step wins.
        values.setdefault(name, {})[line['step']] = float(value)
  return {
    name: Series(*map(np.asarray, zip(*sorted(at.items()), strict=True)))
    for name, at in values.items()
  }
