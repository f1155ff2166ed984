"""A comparison from its configs to its report.

Every method has its run of a seed before any has one of the next, so that what
is there at any time compares.
"""

import logging
import pathlib
from typing import Any, NamedTuple

from semppl_jax import checkpoint, summary as summary_lib
from semppl_jax.tools.comparison import (
  budget as budget_lib,
  results,
  runs,
  setting,
  terms,
)
from semppl_jax.tools.comparison.budget import Budget, Lengths
from semppl_jax.tools.comparison.entries import config_of, Entry
from semppl_jax.tools.comparison.report import Report

_log = logging.getLogger(__name__)


class Plan(NamedTuple):
  """What is compared.

  Attributes:
    entries: the configs.
    budget: length of every run.
    seeds: how many, from 0 on.
    evaluations: of every run.
    overrides: what was set in all configs.
    allow: terms that may differ.
  """

  entries: tuple[Entry, ...]
  budget: Budget
  seeds: int
  evaluations: int
  overrides: tuple[str, ...] = ()
  allow: tuple[str, ...] = ()


def run(plan: Plan, out: pathlib.Path) -> Report | None:
  """Runs what is missing, and reports.

  Args:
    plan: what to compare.
    out: directory of the results and of the runs.

  Returns:
    The report, or None where the program was asked to stop.

  Raises:
    config_file.ConfigError: the terms are not equal, or the directory holds
      another comparison; before anything is run.
    job.InputError: a config or its data cannot be used; likewise.
  """
  differences = terms.check(plan.entries, plan.allow)
  lengths = Lengths(out, plan.budget, plan.evaluations)
  configs = {x.name: _checked(plan, x) for x in plan.entries}
  shared, own = setting.gather(configs)
  try:
    steps, failures = _lengths(plan, lengths, out)
    report = Report(
      out,
      {
        'budget': str(plan.budget),
        'seeds': plan.seeds,
        'evaluations': plan.evaluations,
        'overrides': list(plan.overrides),
        'allowed': list(plan.allow),
        **shared,
        'differences': [x._asdict() for x in differences],
        'own': [x._asdict() for x in terms.own(plan.entries)],
      },
      {
        x.name: {
          'file': x.file,
          'steps': steps.get(x.name),
          **own[x.name],
          'config': checkpoint.plain_config(x.config),
        }
        for x in plan.entries
      },
    )
    todo = [(seed, x) for seed in range(plan.seeds) for x in plan.entries]
    for place, (seed, entry) in enumerate(todo, 1):
      _log.info(
        'Run %d of %d: %s, seed %d.', place, len(todo), entry.name, seed
      )
      if entry.name in failures:
        report.fail(entry.name, seed, failures[entry.name])
      else:
        _one(plan, entry, seed, steps[entry.name], out, report)
  except runs.StoppedError:
    return None
  report.write()
  return report


def _checked(plan: Plan, entry: Entry) -> Any:
  """A config to hold against the data; of minutes the length is unknown yet."""
  if plan.budget.unit == 'minutes':
    return entry.config
  steps = int(plan.budget.amount)
  return config_of(entry, 0, steps, _every(plan, steps), False)


def _every(plan: Plan, steps: int) -> int:
  return budget_lib.every(steps, plan.evaluations)


def _lengths(
  plan: Plan, lengths: Lengths, out: pathlib.Path
) -> tuple[dict[str, int], dict[str, str]]:
  """Steps by the name of a config, and why others could not be timed."""
  steps, failures = {}, {}
  for entry in plan.entries:

    def rate(entry: Entry = entry) -> float:
      return runs.steps_per_minute(entry, out / f'timing-{entry.name}')

    try:
      steps[entry.name] = lengths.of(entry.name, rate)
    except runs.FailedError as error:
      _log.warning('%s could not be timed: %s', entry.name, error)
      failures[entry.name] = f'Its steps could not be timed: {error}'
  setting.check(
    {
      x.name: config_of(x, 0, n, _every(plan, n), False)
      for x in plan.entries
      if (n := steps.get(x.name)) is not None
    }
  )
  return steps, failures


def _one(
  plan: Plan,
  entry: Entry,
  seed: int,
  steps: int,
  out: pathlib.Path,
  report: Report,
) -> None:
  """Runs one seed of one config and reports it."""
  workdir = out / f'{entry.name}-{seed}'
  was_there = summary_lib.read(workdir) is not None
  config = config_of(
    entry,
    seed,
    steps,
    _every(plan, steps),
    # Raw pixels and untrained encoders depend on the seed alone.
    floors=not report.has_floors(seed),
  )
  try:
    summary = runs.run(config, workdir)
  except runs.FailedError as error:
    _log.warning('%s, seed %d, failed: %s', entry.name, seed, error)
    report.fail(entry.name, seed, str(error))
  else:
    report.add(entry.name, seed, results.read(workdir, summary))
  # Until something new is known, the files of an earlier call know more.
  if not was_there:
    report.write()
