"""Report of all runs, aggregated over seeds, as JSON, Markdown and figure."""

from collections.abc import Mapping, Sequence
import json
import math
import pathlib
import statistics
from typing import Any, NamedTuple

import jax

from semppl_jax.runtime import versions
from semppl_jax.runtime.files import atomic_write, write_text
from semppl_jax.tools.comparison import figure, markdown
from semppl_jax.tools.comparison.markdown import Content

JSON, PAGE, FIGURE = 'comparison.json', 'comparison.md', 'comparison.png'


class Spread(NamedTuple):
  """A figure over seeds.

  Attributes:
    mean: its mean.
    interval: half the width of the 95 % confidence interval of the mean, by
      Student's t with n - 1 degrees of freedom; None where n is 1.
    values: the n figures.
  """

  mean: float
  interval: float | None
  values: tuple[float, ...]


def spread(values: Sequence[float | None]) -> Spread | None:
  """Returns the spread of the known figures, or None without any."""
  known = tuple(x for x in values if x is not None)
  if not known:
    return None
  if len(known) == 1:
    return Spread(known[0], None, known)
  from scipy import stats

  quantile = float(stats.t.ppf(0.975, len(known) - 1))
  error = statistics.stdev(known) / math.sqrt(len(known))
  return Spread(statistics.mean(known), quantile * error, known)


class Report:
  """Collects runs and writes the report of those so far.

  Attributes:
    content: the report, as plain JSON.
  """

  def __init__(
    self,
    out: pathlib.Path,
    settings: Mapping[str, object],
    methods: Mapping[str, Mapping[str, object]],
  ):
    """Starts without runs, with the facts of all and of each method."""
    self._out = out
    self.content: dict[str, Any] = {
      **settings,
      'versions': versions.installed(),
      'methods': {
        name: {**own, 'runs': {}, 'failures': {}, 'figures': {}}
        for name, own in methods.items()
      },
      'floors': {},
    }

  def add(self, name: str, seed: int, run: Mapping[str, object]) -> None:
    """Adds a finished run, as returned by `results.read`."""
    self.content['methods'][name]['runs'][str(seed)] = dict(run)

  def add_failure(self, name: str, seed: int, reason: str) -> None:
    """Adds a run that failed."""
    self.content['methods'][name]['failures'][str(seed)] = reason

  def has_baselines(self, seed: int) -> bool:
    """Returns True if a run of this seed has evaluated the baselines."""
    return any(
      method['runs'].get(str(seed), {}).get('floors')
      for method in self.content['methods'].values()
    )

  @property
  def failed(self) -> bool:
    """True if any run failed."""
    return any(m['failures'] for m in self.content['methods'].values())

  def write(self) -> None:
    """Writes the three files, each atomically."""
    self._aggregate()
    if jax.process_index():
      return
    self._out.mkdir(parents=True, exist_ok=True)
    write_text(self._out / JSON, json.dumps(self.content, indent=2) + '\n')
    write_text(self._out / PAGE, markdown.page(self.content, FIGURE))
    with atomic_write(self._out / FIGURE) as temporary:
      figure.save(self.content, temporary)

  def describe(self) -> str:
    """Returns the table and the names of the files."""
    files = ', '.join((PAGE, FIGURE, JSON))
    return f'{markdown.table(self.content)}\nFiles in {self._out}: {files}.'

  def _aggregate(self) -> None:
    """Computes figures over the seeds, of the methods and of the baselines."""
    # Those of a seed are equal in all of its runs.
    baselines: dict[str, dict[str, Content]] = {}
    for method in self.content['methods'].values():
      runs = method['runs']
      method['figures'] = _over_seeds([run['figures'] for run in runs.values()])
      for seed, run in runs.items():
        for title, figures in run['floors'].items():
          baselines.setdefault(title, {})[seed] = figures
    self.content['floors'] = {
      title: _over_seeds([*seeds.values()])
      for title, seeds in baselines.items()
    }


def _over_seeds(runs: list[Content]) -> dict[str, Content]:
  names = dict.fromkeys(name for run in runs for name in run)
  spreads = {name: spread([run.get(name) for run in runs]) for name in names}
  return {name: x._asdict() for name, x in spreads.items() if x is not None}
