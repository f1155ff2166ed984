"""The results as JSON, Markdown and a figure, whole after each run."""

from collections.abc import Mapping
import json
import pathlib
from typing import Any

import jax

from semppl_jax.runtime import versions
from semppl_jax.runtime.files import atomic_write, write_text
from semppl_jax.tools.comparison import figure, markdown, spread

JSON, PAGE, FIGURE = 'comparison.json', 'comparison.md', 'comparison.png'


class Report:
  """Collects runs and writes what is known of them.

  Attributes:
    content: all of it, as JSON holds it.
  """

  def __init__(
    self,
    out: pathlib.Path,
    settings: Mapping[str, Any],
    methods: Mapping[str, Mapping[str, Any]],
  ):
    """Starts with no run.

    Args:
      out: directory of the results.
      settings: what the runs share.
      methods: what each method has of its own, by its name.
    """
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

  def add(self, name: str, seed: int, run: Mapping[str, Any]) -> None:
    """Adds a finished run, as `results.read` gives it."""
    self.content['methods'][name]['runs'][str(seed)] = dict(run)

  def fail(self, name: str, seed: int, reason: str) -> None:
    """Adds a run that failed."""
    self.content['methods'][name]['failures'][str(seed)] = reason

  def has_floors(self, seed: int) -> bool:
    """Whether a run of this seed has brought the floors."""
    return any(
      method['runs'].get(str(seed), {}).get('floors')
      for method in self.content['methods'].values()
    )

  @property
  def failed(self) -> bool:
    """Whether any run failed."""
    return any(m['failures'] for m in self.content['methods'].values())

  def write(self) -> None:
    """Writes the three files, each whole or not at all."""
    self._aggregate()
    if jax.process_index():
      return
    self._out.mkdir(parents=True, exist_ok=True)
    write_text(self._out / JSON, json.dumps(self.content, indent=2) + '\n')
    write_text(self._out / PAGE, markdown.page(self.content, FIGURE))
    with atomic_write(self._out / FIGURE) as temporary:
      figure.save(self.content, temporary)

  def describe(self) -> str:
    """The table as a person reads it on a terminal."""
    files = ', '.join((PAGE, FIGURE, JSON))
    return f'{markdown.table(self.content)}\nFiles in {self._out}: {files}.'

  def _aggregate(self) -> None:
    """Figures over the seeds, of the methods and of the floors."""
    # Those of a seed are the same in each run that has them.
    floors: dict[str, dict[str, Mapping[str, Any]]] = {}
    for method in self.content['methods'].values():
      runs = method['runs']
      method['figures'] = _over_seeds([run['figures'] for run in runs.values()])
      for seed, run in runs.items():
        for title, figures in run['floors'].items():
          floors.setdefault(title, {})[seed] = figures
    self.content['floors'] = {
      title: _over_seeds([*seeds.values()]) for title, seeds in floors.items()
    }


def _over_seeds(runs: list[Mapping[str, Any]]) -> dict[str, Any]:
  names = dict.fromkeys(name for run in runs for name in run)
  spreads = {name: spread.of([run.get(name) for run in runs]) for name in names}
  return {name: s._asdict() for name, s in spreads.items() if s is not None}
