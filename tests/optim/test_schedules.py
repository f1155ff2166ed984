"""Learning rate and target decay against values by hand."""

import math

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from semppl_jax.optim import schedules


def test_warmup_cosine_golden():
  schedule = schedules.warmup_cosine(4.0, 10, 110, 0.5)
  for step, expected in [
    (0, 0.0),
    (1, 0.4),
    (5, 2.0),
    (10, 4.0),
    (35, 3.4874369),
    (60, 2.25),
    (110, 0.5),
    (500, 0.5),
  ]:
    np.testing.assert_allclose(schedule(step), expected, rtol=1e-6, atol=1e-7)


def test_warmup_cosine_without_warmup_starts_at_the_base():
  schedule = schedules.warmup_cosine(2.0, 0, 4)
  got = [float(schedule(step)) for step in range(5)]
  expected = [math.cos(math.pi * t / 4) + 1 for t in range(5)]
  np.testing.assert_allclose(got, expected, atol=1e-6)


def test_warmup_cosine_may_start_at_zero_and_end_above():
  schedule = schedules.warmup_cosine(0.0, 0, 4, 1.0)
  assert float(schedule(4)) == 1.0


def test_warmup_as_long_as_the_run_is_a_plain_rise():
  schedule = schedules.warmup_cosine(1.0, 4, 4)
  np.testing.assert_allclose(
    [schedule(t) for t in range(4)], [0, 0.25, 0.5, 0.75]
  )


def _ema(decay, schedule):
  return ml_collections.ConfigDict({'decay': decay, 'schedule': schedule})


def test_ema_decay_golden():
  constant = schedules.ema_decay(_ema(0.996, 'constant'), 100)
  np.testing.assert_allclose([constant(0), constant(100)], 0.996, rtol=1e-6)
  cosine = schedules.ema_decay(_ema(0.9, 'cosine'), 100)
  np.testing.assert_allclose(
    [cosine(t) for t in (0, 25, 50, 100)],
    [0.9, 0.91464466, 0.95, 1.0],
    rtol=1e-6,
  )


def test_an_unknown_ema_schedule_is_named():
  with pytest.raises(ValueError, match="'linear'"):
    schedules.ema_decay(_ema(0.9, 'linear'), 100)


@pytest.mark.parametrize(
  'schedule',
  [
    schedules.warmup_cosine(4.0, 10, 110),
    schedules.ema_decay(_ema(0.996, 'constant'), 100),
    schedules.ema_decay(_ema(0.996, 'cosine'), 100),
  ],
)
def test_schedules_trace_and_give_float32_scalars(schedule):
  step = jnp.asarray(7, jnp.int32)
  jitted = jax.jit(schedule)(step)
  assert jitted.dtype == jnp.float32 and jitted.shape == ()
  np.testing.assert_allclose(jitted, schedule(step), rtol=1e-6)


@pytest.mark.parametrize(
  'reference, expected', [(256, (0.32, 4.8, 0.16)), (0, (0.02, 0.3, 0.01))]
)
def test_learning_rate_scales_with_the_batch(reference, expected):
  optimizer = ml_collections.ConfigDict(
    dict(
      start_learning_rate=0.02,
      learning_rate=0.3,
      final_learning_rate=0.01,
      reference_batch=reference,
    )
  )
  rate = schedules.learning_rate(optimizer, 4096, 10, 100)
  np.testing.assert_allclose(
    (rate(0), rate(10), rate(100)), expected, rtol=1e-6
  )
