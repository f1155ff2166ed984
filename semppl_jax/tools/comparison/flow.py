"""A comparison from its configs to its report.

Every method has its run of a seed before any has one of the next, so that what
is there at any time compares.
"""

import itertools
import logging
import pathlib
from typing import Any, NamedTuple

from semppl_jax import checkpoint, config_file
from semppl_jax.interrupts import Interrupts
from semppl_jax.tools.comparison import (
  budget as budget_lib,
  earlier,
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
  with Interrupts() as interrupts:
    try:
      return _run(plan, out, interrupts)
    except runs.StoppedError:
      return None


def _run(plan: Plan, out: pathlib.Path, interrupts: Interrupts) -> Report:
  differences = terms.check(plan.entries, plan.allow)
  lengths = Lengths(out, plan.budget, plan.evaluations)
  configs = {x.name: _checked(plan, x) for x in plan.entries}
  found = setting.gather(configs)
  steps, failures = _lengths(plan, lengths, out, interrupts)
  report = Report(
    out,
    {
      'budget': str(plan.budget),
      'seeds': plan.seeds,
      'evaluations': plan.evaluations,
      'overrides': list(plan.overrides),
      'allowed': list(plan.allow),
      **found.shared,
      'differences': [x._asdict() for x in differences],
      'own': [x._asdict() for x in terms.own(plan.entries)],
    },
    {
      x.name: {
        'file': x.file,
        'steps': steps.get(x.name),
        **found.own[x.name],
        'config': checkpoint.plain_config(x.config),
      }
      for x in plan.entries
    },
  )
  todo = []
  for seed, entry in itertools.product(range(plan.seeds), plan.entries):
    if entry.name in failures:
      report.fail(entry.name, seed, failures[entry.name])
      continue
    config = _config(plan, entry, seed, steps[entry.name])
    workdir = out / f'{entry.name}-{seed}'
    there = earlier.read(workdir, config, found.data[entry.name])
    if there is None:
      todo.append((entry.name, seed, config, workdir))
    else:
      report.add(entry.name, seed, there)
  for place, (name, seed, config, workdir) in enumerate(todo, 1):
    if interrupts.noted():
      raise runs.StoppedError
    _log.info('Run %d of %d: %s, seed %d.', place, len(todo), name, seed)
    _one(name, seed, config, workdir, report, interrupts)
    report.write()
  if not todo:
    report.write()
  return report


def _checked(plan: Plan, entry: Entry) -> Any:
  """A config to hold against the data; of minutes the length is unknown yet."""
  if plan.budget.unit == 'minutes':
    return entry.config
  return _config(plan, entry, 0, int(plan.budget.amount))


def _config(plan: Plan, entry: Entry, seed: int, steps: int) -> Any:
  """The config of a run, without the floors."""
  every = budget_lib.every(steps, plan.evaluations)
  return config_of(entry, seed, steps, every, floors=False)


def _lengths(
  plan: Plan, lengths: Lengths, out: pathlib.Path, interrupts: Interrupts
) -> tuple[dict[str, int], dict[str, str]]:
  """Steps by the name of a config, and why others could not be timed."""
  steps, failures = {}, {}
  for entry in plan.entries:
    known = lengths.known(entry.name)
    if known is not None:
      steps[entry.name] = known
  setting.check(
    {
      x.name: _config(plan, x, 0, steps[x.name])
      for x in plan.entries
      if x.name in steps
    }
  )
  lengths.keep(steps)
  for entry in plan.entries:
    if entry.name in steps:
      continue
    try:
      rate = runs.steps_per_minute(
        entry, out / f'timing-{entry.name}', interrupts
      )
    except runs.FailedError as error:
      _log.warning('%s could not be timed: %s', entry.name, error)
      failures[entry.name] = f'Its steps could not be timed: {error}'
      continue
    length = lengths.timed(rate)
    setting.check({entry.name: _config(plan, entry, 0, length)})
    steps[entry.name] = length
    lengths.keep({entry.name: length})
  return steps, failures


def _one(
  name: str,
  seed: int,
  config: Any,
  workdir: pathlib.Path,
  report: Report,
  interrupts: Interrupts,
) -> None:
  """Runs one seed of one config and reports it."""
  if not report.has_floors(seed):
    # Raw pixels and untrained encoders depend on the seed alone.
    config = config_file.copy(config)
    config.eval.baselines = True
    config.lock()
  try:
    summary = runs.run(config, workdir, interrupts)
  except runs.FailedError as error:
    _log.warning('%s, seed %d, failed: %s', name, seed, error)
    report.fail(name, seed, str(error))
  else:
    report.add(name, seed, results.read(workdir, summary))
