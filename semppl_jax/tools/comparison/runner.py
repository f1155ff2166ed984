"""A comparison from its configs to its report.

Every method has its run of a seed before any has one of the next, so that what
is there at any time compares.
"""

from collections.abc import Iterator
import itertools
import logging
import pathlib
from typing import Any, NamedTuple

from semppl_jax.config import loading
from semppl_jax.runtime import errors
from semppl_jax.runtime.signals import Interrupts
from semppl_jax.tools.comparison import (
  budget as budget_lib,
  earlier,
  fairness,
  parallel,
  results,
  run as run_lib,
  setting,
)
from semppl_jax.tools.comparison.aggregate import Report
from semppl_jax.tools.comparison.budget import Budget, Lengths
from semppl_jax.tools.comparison.experiments import config_of, Entry
from semppl_jax.tools.comparison.parallel import Task

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
    jobs: how many runs go on side by side.
  """

  entries: tuple[Entry, ...]
  budget: Budget
  seeds: int
  evaluations: int
  overrides: tuple[str, ...] = ()
  allow: tuple[str, ...] = ()
  jobs: int = 1


def run(plan: Plan, out: pathlib.Path) -> Report | None:
  """Runs what is missing, and reports.

  Args:
    plan: what to compare.
    out: directory of the results and of the runs.

  Returns:
    The report, or None where the program was asked to stop.

  Raises:
    loading.ConfigError: the terms are not equal, or the directory holds
      another comparison; before anything is run.
    errors.InputError: a config or its data cannot be used; likewise.
  """
  with Interrupts() as interrupts:
    try:
      return _run(plan, out, interrupts)
    except errors.StoppedError:
      return None


def _run(plan: Plan, out: pathlib.Path, interrupts: Interrupts) -> Report:
  parallel.check(plan.jobs)
  differences = fairness.check(plan.entries, plan.allow)
  lengths = Lengths(out, plan.budget, plan.evaluations, plan.jobs)
  configs = {x.name: _checked(plan, x) for x in plan.entries}
  found = setting.gather(configs)
  steps, failures = _lengths(plan, lengths, out, interrupts)
  report = Report(
    out,
    {
      'budget': str(plan.budget),
      'seeds': plan.seeds,
      'evaluations': plan.evaluations,
      'jobs': plan.jobs,
      'overrides': list(plan.overrides),
      'allowed': list(plan.allow),
      **found.shared,
      'differences': [x._asdict() for x in differences],
      'own': [x._asdict() for x in fairness.own(plan.entries)],
    },
    {
      x.name: {
        'file': x.file,
        'steps': steps.get(x.name),
        **found.own[x.name],
        'config': loading.to_flat_dict(x.config),
      }
      for x in plan.entries
    },
  )
  todo: list[_Run] = []
  for seed, entry in itertools.product(range(plan.seeds), plan.entries):
    if entry.name in failures:
      report.fail(entry.name, seed, failures[entry.name])
      continue
    config = _config(plan, entry, seed, steps[entry.name])
    workdir = out / f'{entry.name}-{seed}'
    there = earlier.read(workdir, config, found.data[entry.name])
    if there is None:
      todo.append(_Run(entry.name, seed, config, workdir))
    else:
      report.add(entry.name, seed, there)
  _make(todo, report, plan.jobs, interrupts)
  report.write()
  return report


class _Run(NamedTuple):
  """A run that is missing."""

  name: str
  seed: int
  config: Any
  workdir: pathlib.Path


def _make(
  todo: list[_Run], report: Report, jobs: int, interrupts: Interrupts
) -> None:
  """Makes the missing runs, and reports after each."""
  # Raw pixels and untrained encoders depend on the seed alone: one run of each
  # seed has them, or the next one where that fails.
  bringing: set[int] = set()

  def tasks() -> Iterator[Task]:
    for place, one in enumerate(todo, 1):
      config = one.config
      if not report.has_floors(one.seed) and one.seed not in bringing:
        bringing.add(one.seed)
        config = loading.copy(config)
        config.eval.baselines = True
        config.lock()
      title = f'Run {place} of {len(todo)}: {one.name}, seed {one.seed}'
      log = one.workdir.with_suffix('.log')
      yield Task(title, (one, config), (config, one.workdir), log)

  for key, result in parallel.each(run_lib.run, tasks(), jobs, interrupts):
    one, config = key
    if isinstance(result, run_lib.FailedError):
      _log.warning('%s, seed %d, failed: %s', one.name, one.seed, result)
      report.fail(one.name, one.seed, str(result))
      if config.eval.baselines:
        bringing.discard(one.seed)
    else:
      report.add(one.name, one.seed, results.read(one.workdir, result))
    report.write()


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
  timed = (
    Task(
      f'Timing {x.name}', x, (x, out / f'timing-{x.name}'),
      out / f'timing-{x.name}.log',
    )
    for x in plan.entries
    if x.name not in steps
  )  # fmt: skip
  for entry, rate in parallel.each(
    run_lib.steps_per_minute, timed, plan.jobs, interrupts
  ):
    if isinstance(rate, run_lib.FailedError):
      _log.warning('%s could not be timed: %s', entry.name, rate)
      failures[entry.name] = f'Its steps could not be timed: {rate}'
      continue
    length = lengths.timed(rate)
    setting.check({entry.name: _config(plan, entry, 0, length)})
    steps[entry.name] = length
    lengths.keep({entry.name: length})
  return steps, failures
