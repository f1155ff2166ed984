"""Length of each run: a number of steps, or as many as fit into some minutes.

Lengths are kept in a file beside the runs, since a resumed run must keep its
length, whatever the speed of the machine today.
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
_Content = dict[str, Any]
_PATTERN = re.compile(r'\s*(\d+(?:\.\d+)?)\s+(step|minute)s?\s*')


class Budget(NamedTuple):
  """Length of every run: an amount of `'steps'` or `'minutes'` of training."""

  amount: float
  unit: str

  def __str__(self) -> str:
    whole = self.amount == int(self.amount)
    return f'{int(self.amount) if whole else self.amount} {self.unit}'


def parse(text: str | None) -> Budget:
  """Parses `'4000 steps'` or `'10 minutes'`.

  Raises:
    ConfigError: it has another form.
  """
  match = _PATTERN.fullmatch(text or '')
  amount = float(match[1]) if match else 0.0
  whole = not match or match[2] == 'minute' or amount == int(amount)
  if match is None or amount <= 0 or not whole:
    raise ConfigError(
      f'--budget={text or ""} must be a number above 0 of steps or minutes, as'
      " in --budget='4000 steps' or --budget='10 minutes'."
    )
  return Budget(amount, f'{match[2]}s')


def eval_every(steps: int, evaluations: int) -> int:
  """Returns the steps between evaluations, of which the last is at the end."""
  return math.ceil(steps / evaluations)


def steps_in(minutes: float, steps_per_minute: float, evaluations: int) -> int:
  """Returns the steps of some minutes, rounded down to whole evaluations."""
  periods = int(minutes * steps_per_minute / evaluations)
  return max(periods, 1) * evaluations


class Lengths:
  """Steps of each config's runs, kept in a file of the results."""

  def __init__(
    self, out: pathlib.Path, budget: Budget, evaluations: int, jobs: int
  ):
    """Reads the lengths of an earlier call.

    Raises:
      ConfigError: the directory has results of another budget.
    """
    self._path, self._budget = out / FILE, budget
    self._evaluations = evaluations
    self._content: _Content = {
      'budget': str(budget),
      'evaluations': evaluations,
      # Runs in parallel are slower, and so steps of minutes are fewer.
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
    """Returns the steps of a config's runs, None where it must be timed."""
    if self._budget.unit == 'steps':
      return int(self._budget.amount)
    return self._content['steps'].get(name)

  def timed(self, steps_per_minute: float) -> int:
    """Returns the steps of a config's runs by its speed."""
    return steps_in(self._budget.amount, steps_per_minute, self._evaluations)

  def save(self, steps: Mapping[str, int]) -> None:
    """Adds the steps of some configs, by their names."""
    if not steps:
      return
    self._content['steps'] |= steps
    if not jax.process_index():
      self._path.parent.mkdir(parents=True, exist_ok=True)
      write_text(self._path, json.dumps(self._content, indent=2) + '\n')

  def _read(self) -> _Content:
    try:
      content = json.loads(self._path.read_text())
      return {name: content[name] for name in self._content}
    except (ValueError, KeyError, TypeError) as error:
      raise ConfigError(
        f'{self._path} is not what a comparison wrote; remove it, or name'
        ' another --out.'
      ) from error
