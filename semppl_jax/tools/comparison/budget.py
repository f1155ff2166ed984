"""How long each run is: so many steps, or as many as so many minutes hold.

What was decided is written beside the runs, since a run that goes on must be
as long as it was, whatever the machine does today.
"""

from collections.abc import Mapping
import json
import math
import pathlib
import re
from typing import Any, NamedTuple

import jax

from semppl_jax.config.loading import ConfigError
from semppl_jax.runtime.files import write_text

FILE = 'budget.json'
_FORM = re.compile(r'\s*(\d+(?:\.\d+)?)\s+(step|minute)s?\s*')


class Budget(NamedTuple):
  """Length of every run.

  Attributes:
    amount: how many, above 0.
    unit: `'steps'` or `'minutes'`, of training alone.
  """

  amount: float
  unit: str

  def __str__(self) -> str:
    whole = self.amount == int(self.amount)
    return f'{int(self.amount) if whole else self.amount} {self.unit}'


def parse(text: str | None) -> Budget:
  """Reads `'4000 steps'` or `'10 minutes'`.

  Raises:
    ConfigError: it is neither, or nothing.
  """
  match = _FORM.fullmatch(text or '')
  amount = float(match[1]) if match else 0.0
  whole = not match or match[2] == 'minute' or amount == int(amount)
  if match is None or amount <= 0 or not whole:
    raise ConfigError(
      f'--budget={text or ""} must be a number above 0 of steps or minutes, as'
      " in --budget='4000 steps' or --budget='10 minutes'."
    )
  return Budget(amount, f'{match[2]}s')


def every(steps: int, evaluations: int) -> int:
  """Steps between evaluations, of which the last is at the end."""
  return math.ceil(steps / evaluations)


def steps_in(minutes: float, steps_per_minute: float, evaluations: int) -> int:
  """Steps in so many minutes, cut down to whole periods of evaluation."""
  periods = int(minutes * steps_per_minute / evaluations)
  return max(periods, 1) * evaluations


class Lengths:
  """Steps of each config's runs, kept in a file of the results."""

  def __init__(
    self, out: pathlib.Path, budget: Budget, evaluations: int, jobs: int
  ):
    """Takes up what an earlier call decided.

    Raises:
      ConfigError: the directory has results of another budget.
    """
    self._path, self._budget = out / FILE, budget
    self._evaluations = evaluations
    self._content: dict[str, Any] = {
      'budget': str(budget),
      'evaluations': evaluations,
      # Runs that were timed beside others, or alone, are as fast as no others.
      'jobs': jobs,
      'steps': {},
    }
    if self._path.exists():
      before = self._read()
      for name, value in self._content.items():
        if name != 'steps' and before[name] != value:
          raise ConfigError(
            f'{out} holds a comparison with --{name}={str(before[name])!r};'
            f' here it is {str(value)!r}. Take the old value, or another --out.'
          )
      self._content = before

  def known(self, name: str) -> int | None:
    """Steps of a config's runs, where they are known without timing it."""
    if self._budget.unit == 'steps':
      return int(self._budget.amount)
    return self._content['steps'].get(name)

  def timed(self, steps_per_minute: float) -> int:
    """Steps of a config that takes so many in a minute."""
    return steps_in(self._budget.amount, steps_per_minute, self._evaluations)

  def keep(self, steps: Mapping[str, int]) -> None:
    """Decides on the steps of some configs, by their names."""
    if not steps:
      return
    self._content['steps'] |= steps
    self._write()

  def _read(self) -> dict[str, Any]:
    try:
      content = json.loads(self._path.read_text())
      return {name: content[name] for name in self._content}
    except (ValueError, KeyError, TypeError) as error:
      raise ConfigError(
        f'{self._path} is not what a comparison wrote; remove it, or name'
        ' another --out.'
      ) from error

  def _write(self) -> None:
    if jax.process_index():
      return
    self._path.parent.mkdir(parents=True, exist_ok=True)
    write_text(self._path, json.dumps(self._content, indent=2) + '\n')
