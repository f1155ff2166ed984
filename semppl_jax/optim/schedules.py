"""Learning rate and target decay as functions of the step."""

import jax
import jax.numpy as jnp
import ml_collections
import optax


def warmup_cosine(
  base: float,
  warmup_steps: int,
  total_steps: int,
  final: float = 0.0,
  start: float = 0.0,
) -> optax.Schedule:
  """Builds a linear rise to `base` and half a cosine down to `final`.

  Args:
    base: highest rate, reached at step `warmup_steps`.
    warmup_steps: length of the rise; 0 starts at `base`.
    total_steps: step at which the rate is `final`; it stays there.
    final: last rate.
    start: rate at step 0, where there is a rise.

  Returns:
    A function of the step, giving a float32 scalar.

  Example:
    >>> schedule = warmup_cosine(2.0, 10, 110)
    >>> [round(float(schedule(step)), 3) for step in (5, 10, 60, 110)]
    [1.0, 2.0, 1.0, 0.0]
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
  """Builds the decay of the target network's moving average.

  `'cosine'` rises from `decay` to 1 as 1 - (1 - decay) (cos(pi t / T) + 1) / 2
  (BYOL, arXiv 2006.07733, section 3.3).

  Args:
    config_ema: `decay` in [0, 1] and `schedule`.
    total_steps: T, the step at which a rising decay is 1.

  Returns:
    A function of the step, giving a float32 scalar in [0, 1].

  Raises:
    ValueError: `schedule` is neither `'constant'` nor `'cosine'`.

  Example:
    >>> ema = ml_collections.ConfigDict(dict(decay=0.9, schedule='cosine'))
    >>> [round(float(ema_decay(ema, 100)(step)), 3) for step in (0, 50, 100)]
    [0.9, 0.95, 1.0]
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
  """Builds warm-up and cosine decay of the rate, linear in the batch size.

  Args:
    config_optimizer: `start_learning_rate`, `learning_rate` and
      `final_learning_rate` at a batch of `reference_batch` images; 0 there
      scales nothing.
    batch_size: images per step, over all devices.
    warmup_steps: length of the rise.
    total_steps: length of the run.

  Returns:
    A function of the step, giving a float32 scalar.

  Example:
    >>> fields = dict(start_learning_rate=0.0, learning_rate=0.3,
    ...               final_learning_rate=0.0, reference_batch=256)
    >>> rate = learning_rate(ml_collections.ConfigDict(fields), 512, 10, 100)
    >>> round(float(rate(10)), 3)
    0.6
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
