"""Constraints on single fields."""

import math

import ml_collections
import pytest

from semppl_jax.config import constraints
from semppl_jax.config.constraints import Constraints, Range


def _violations(value, **tables):
  config = ml_collections.ConfigDict({'a': {'b': value}})
  return [*constraints.violations(config, Constraints(**tables))]


@pytest.mark.parametrize(
  'allowed, inside, outside, text',
  [
    (Range(1), [1, 1e9], [0, math.inf, math.nan, '1', None], 'at least 1'),
    (Range(0, open_low=True), [0.1], [0], 'above 0'),
    (Range(0, 1), [0, 1], [-0.1, 1.1], 'at least 0 and at most 1'),
    (Range(0, 1, open_high=True), [0], [1], 'at least 0 and below 1'),
  ],
)
def test_ranges(allowed, inside, outside, text):
  for value in inside:
    assert not _violations(value, ranges={'a.b': allowed})
  for value in outside:
    assert _violations(value, ranges={'a.b': allowed}) == [
      f'config.a.b={value!r} must be {text}.'
    ]


@pytest.mark.parametrize(
  'value, size, interval, text',
  [
    ((1, 2), 2, True, None),
    ((2, 1), 2, True, 'be a lower and an upper end, in this order'),
    ((2, 1), 2, False, None),
    ((1,), 2, False, 'be 2 numbers, each at least 1'),
    ((), None, False, 'be one or more numbers, each at least 1'),
    ((3, 0), None, False, 'be one or more numbers, each at least 1'),
    ((3, 4, 5), None, False, None),
  ],
)
def test_tuples(value, size, interval, text):
  violations = _violations(
    value,
    tuples={'a.b': (Range(1), size)},
    intervals=('a.b',) if interval else (),
  )
  expected = [f'config.a.b={value!r} must {text}.'] if text else []
  assert violations == expected


def test_choices_name_the_nearest():
  choices = {'a.b': ('cosine', 'constant')}
  assert not _violations('cosine', choices=choices)
  assert _violations('cosin', choices=choices) == [
    "config.a.b='cosin' must be one of 'cosine', 'constant'; did you mean"
    " 'cosine'?"
  ]
  (far,) = _violations('zzz', choices=choices)
  assert far.endswith("'constant'.")
