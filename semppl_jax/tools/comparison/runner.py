"""Comparison of configs, from the config files to the report.

Each method has its run of a seed before any has one of the next, so that an
unfinished comparison compares as well.
"""

from collections.abc import Iterator
import itertools
import logging
import pathlib
from typing import NamedTuple

import ml_collections

from semppl_jax.config import loading
from semppl_jax.runtime.errors import StoppedError
from semppl_jax.runtime.signals import Interrupts
from semppl_jax.tools.comparison import (
  budget as budget_lib,
  experiments,
  fairness,
  parallel,
  results,
  run as run_lib,
)
from semppl_jax.tools.comparison.aggregate import Report
from semppl_jax.tools.comparison.budget import Budget, Lengths
from semppl_jax.tools.comparison.experiments import Entry, Summary
from semppl_jax.tools.comparison.fairness import Difference
from semppl_jax.tools.comparison.parallel import Task

_log = logging.getLogger(__name__)


class Comparison(NamedTuple):
  """Settings of a comparison, as in the flags of `tools.compare`."""

  entries: tuple[Entry, ...]
  budget: Budget
  seeds: int
  evaluations: int
  overrides: tuple[str, ...] = ()
  allow: tuple[str, ...] = ()
  jobs: int = 1

  def config(
    self, entry: Entry, seed: int, steps: int
  ) -> ml_collections.ConfigDict:
    """Returns the config of a run, without baselines."""
    every = budget_lib.eval_every(steps, self.evaluations)
    return experiments.run_config(entry, seed, steps, every)


class _Run(NamedTuple):
  """A run that is missing."""

  name: str
  seed: int
  config: ml_collections.ConfigDict
  workdir: pathlib.Path


def run(comparison: Comparison, out: pathlib.Path) -> Report | None:
  """Makes the missing runs; returns the report, or None if asked to stop.

  Raises:
    InputError: the configs are not comparable, a config or its data cannot be
      used, or the directory holds another comparison; before any run.
  """
  with Interrupts() as interrupts:
    try:
      return _run(comparison, out, interrupts)
    except StoppedError:
      return None


def _run(
  comparison: Comparison, out: pathlib.Path, interrupts: Interrupts
) -> Report:
  entries, budget = comparison.entries, comparison.budget
  parallel.check(comparison.jobs)
  differences = fairness.check(entries, comparison.allow)
  lengths = Lengths(out, budget, comparison.evaluations, comparison.jobs)
  summary = experiments.summarize(
    {
      # The length of minutes is not known yet.
      x.name: x.config
      if budget.unit == 'minutes'
      else comparison.config(x, 0, int(budget.amount))
      for x in entries
    }
  )
  steps, failures = _lengths(comparison, lengths, out, interrupts)
  report = _report(comparison, out, summary, differences, steps)
  missing: list[_Run] = []
  for seed, entry in itertools.product(range(comparison.seeds), entries):
    if entry.name in failures:
      report.add_failure(entry.name, seed, failures[entry.name])
      continue
    config = comparison.config(entry, seed, steps[entry.name])
    workdir = out / f'{entry.name}-{seed}'
    finished = results.read_finished(workdir, config, summary.data[entry.name])
    if finished is None:
      missing.append(_Run(entry.name, seed, config, workdir))
    else:
      report.add(entry.name, seed, finished)
  _make_runs(missing, report, comparison.jobs, interrupts)
  report.write()
  return report


def _report(
  comparison: Comparison,
  out: pathlib.Path,
  summary: Summary,
  differences: list[Difference],
  steps: dict[str, int],
) -> Report:
  settings = {
    'budget': str(comparison.budget),
    'seeds': comparison.seeds,
    'evaluations': comparison.evaluations,
    'jobs': comparison.jobs,
    'overrides': list(comparison.overrides),
    'allowed': list(comparison.allow),
    **summary.shared,
    'differences': [x._asdict() for x in differences],
    'own': [x._asdict() for x in fairness.own(comparison.entries)],
  }
  methods = {
    x.name: {
      'file': x.file,
      'steps': steps.get(x.name),
      **summary.own[x.name],
      'config': loading.to_flat_dict(x.config),
    }
    for x in comparison.entries
  }
  return Report(out, settings, methods)


def _make_runs(
  missing: list[_Run], report: Report, jobs: int, interrupts: Interrupts
) -> None:
  """Makes the missing runs, and reports after each."""
  # Baselines depend on the seed alone: one run of each seed evaluates them, or
  # the next one where that fails.
  evaluating: set[int] = set()

  def tasks() -> Iterator[Task]:
    for number, one in enumerate(missing, 1):
      config = one.config
      if not report.has_baselines(one.seed) and one.seed not in evaluating:
        evaluating.add(one.seed)
        config = loading.copy(config)
        config.eval.baselines = True
        config.lock()
      title = f'Run {number} of {len(missing)}: {one.name}, seed {one.seed}'
      log = one.workdir.with_suffix('.log')
      yield Task(title, (one, config), (config, one.workdir), log)

  for (one, config), result in parallel.map_unordered(
    run_lib.run, tasks(), jobs, interrupts
  ):
    if isinstance(result, run_lib.FailedError):
      _log.warning('%s, seed %d, failed: %s', one.name, one.seed, result)
      report.add_failure(one.name, one.seed, str(result))
      if config.eval.baselines:
        evaluating.discard(one.seed)
    else:
      report.add(one.name, one.seed, results.read(one.workdir, result))
    report.write()


def _lengths(
  comparison: Comparison,
  lengths: Lengths,
  out: pathlib.Path,
  interrupts: Interrupts,
) -> tuple[dict[str, int], dict[str, str]]:
  """Steps by the name of a config, and why others could not be timed."""
  steps, failures, timed = {}, {}, []
  for entry in comparison.entries:
    if (known := lengths.known(entry.name)) is not None:
      steps[entry.name] = known
      continue
    name = f'timing-{entry.name}'
    arguments = (entry, out / name)
    log = out / f'{name}.log'
    timed.append(Task(f'Timing {entry.name}', entry, arguments, log))
  experiments.check_lengths(
    {
      x.name: comparison.config(x, 0, steps[x.name])
      for x in comparison.entries
      if x.name in steps
    }
  )
  lengths.save(steps)
  for entry, rate in parallel.map_unordered(
    run_lib.steps_per_minute, timed, comparison.jobs, interrupts
  ):
    if isinstance(rate, run_lib.FailedError):
      _log.warning('%s could not be timed: %s', entry.name, rate)
      failures[entry.name] = f'Its steps could not be timed: {rate}'
      continue
    length = lengths.timed(rate)
    experiments.check_lengths({entry.name: comparison.config(entry, 0, length)})
    steps[entry.name] = length
    lengths.save({entry.name: length})
  return steps, failures
