"""Durations, learning rate and target decay as functions of the step.

An epoch is as many examples as the train set has, so that a duration stays
right when the batch size changes. A duration is cut down to whole batches
(300 epochs of 1,281,167 images at batch 4096 are 93,835 steps), as in BYOL
(arXiv 2006.07733, appendix J).
"""

from collections.abc import Iterator
from fractions import Fraction
import re

import jax
import jax.numpy as jnp
import ml_collections
import optax

_AMOUNT = r'(\d+(?:\.\d+)?)'
_DURATION = re.compile(rf'\s*{_AMOUNT}\s+(epoch|example|step)s?\s*')
_ROWS = re.compile(rf'\s*{_AMOUNT}\s+(batch|batches|row|rows)\s*')


def steps(duration: str, batch_size: int, examples: int) -> int:
  """Returns the number of steps in a duration.

  Args:
    duration: `'300 epochs'`, `'2000000 examples'` or `'1000 steps'`; the
      amount may be a decimal (`'0.5 epochs'`).
    batch_size: images per step, over all devices.
    examples: images in the train set.

  Returns:
    Whole steps, at least one; 0 only where the amount itself is 0.

  Raises:
    ValueError: the string is not an amount and a unit.
  """
  match = _DURATION.fullmatch(duration)
  if match is None:
    raise ValueError(
      f"A duration is a number and 'epochs', 'examples' or 'steps', as in"
      f" '10 epochs'; got {duration!r}."
    )
  per_unit = {
    'epoch': Fraction(examples, batch_size),
    'example': Fraction(1, batch_size),
    'step': Fraction(1),
  }
  # Exact fractions: 0.1 * 30 in floats is a step too many or too few.
  amount = Fraction(match[1])
  return max(int(amount * per_unit[match[2]]), 1) if amount else 0


def check_duration(duration: str, field: str) -> Iterator[str]:
  """Yields a sentence if a field of the config is no duration."""
  try:
    steps(duration, 1, 1)
  except ValueError as error:
    yield f'config.{field}={duration!r} is no duration. {error}'


def queue_rows(size: str, batch_size: int) -> int:
  """Returns the rows N of a queue given as `'20 batches'` or `'1024 rows'`.

  Args:
    size: an amount and a unit.
    batch_size: rows of one batch, over all devices.

  Raises:
    ValueError: the string is not an amount and a unit, or not whole rows.
  """
  match = _ROWS.fullmatch(size)
  if match is None:
    raise ValueError(
      "A queue size is a number and 'batches' or 'rows', as in"
      f" '20 batches'; got {size!r}."
    )
  unit = batch_size if match[2].startswith('batch') else 1
  rows = Fraction(match[1]) * unit
  if rows.denominator != 1:
    raise ValueError(
      f'A queue size is a whole number of rows; got {size!r}, which is'
      f' {float(rows)} rows at batch size {batch_size}.'
    )
  return int(rows)


def warmup_cosine(
  base: float,
  warmup_steps: int,
  total_steps: int,
  final: float = 0.0,
  start: float = 0.0,
) -> optax.Schedule:
  """Linear rise from `start` to `base`, then half a cosine down to `final`.

  Args:
    base: highest rate, reached at step `warmup_steps`.
    warmup_steps: length of the rise; 0 starts at `base`.
    total_steps: step at which the rate is `final`; it stays there.
    final: last rate.
    start: rate at step 0, where there is a rise.

  Returns:
    A function of the step, giving a float32 scalar.
  """
  cosine = _cosine_fall(total_steps - warmup_steps)

  def decay(step: jax.typing.ArrayLike) -> jax.Array:
    # optax's own end value is a share of `base` and cannot be one of 0.
    return final + (base - final) * cosine(step)

  if not warmup_steps:
    return decay
  rise = optax.linear_schedule(start, base, warmup_steps)
  return optax.join_schedules([rise, decay], [warmup_steps])


def _cosine_fall(fall_steps: int) -> optax.Schedule:
  """Returns (cos(pi t / T) + 1) / 2, from 1 at step 0 to 0 at step T."""
  cosine = optax.cosine_decay_schedule(1.0, max(fall_steps, 1))
  # optax mixes an integer step with floats, which strict promotion refuses.
  return lambda step: cosine(jnp.asarray(step, jnp.float32))


def ema_decay(
  config_ema: ml_collections.ConfigDict, total_steps: int
) -> optax.Schedule:
  """Decay of the target network's moving average, by step.

  `'cosine'` rises from `decay` to 1 as 1 - (1 - decay) (cos(pi t / T) + 1) / 2
  (BYOL, arXiv 2006.07733, section 3.3).

  Args:
    config_ema: `decay` in [0, 1] and `schedule`.
    total_steps: T, the step at which a rising decay is 1.

  Raises:
    ValueError: `schedule` is neither `'constant'` nor `'cosine'`.
  """
  decay = config_ema.decay
  if config_ema.schedule == 'constant':
    return lambda step: jnp.full(jnp.shape(step), decay, jnp.float32)
  if config_ema.schedule == 'cosine':
    fall = _cosine_fall(total_steps)
    return lambda step: 1 - (1 - decay) * fall(step)
  raise ValueError(
    f"ema.schedule must be 'constant' or 'cosine', got {config_ema.schedule!r}."
  )


def learning_rate(
  config_optimizer: ml_collections.ConfigDict,
  batch_size: int,
  warmup_steps: int,
  total_steps: int,
) -> optax.Schedule:
  """Warm-up and cosine decay of the rate, scaled linearly by the batch.

  Args:
    config_optimizer: `start_learning_rate`, `learning_rate` and
      `final_learning_rate` at a batch of `reference_batch` images; 0 there
      scales nothing.
    batch_size: images per step, over all devices.
    warmup_steps: length of the rise.
    total_steps: length of the run.
  """
  o = config_optimizer
  scale = batch_size / o.reference_batch if o.reference_batch else 1.0
  return warmup_cosine(
    o.learning_rate * scale,
    warmup_steps,
    total_steps,
    o.final_learning_rate * scale,
    o.start_learning_rate * scale,
  )
