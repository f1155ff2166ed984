"""Numbers as the page writes them."""

import math

import pytest

from semppl_jax.report import formatting


@pytest.mark.parametrize(
  'text,expected',
  [
    (formatting.percent(0.4637), '46.4 %'),
    (formatting.percent(0.998, 0), '100 %'),
    (formatting.percent(math.nan), '-'),
    (formatting.percent(None), '-'),
    (formatting.chance(0), ''),
    (formatting.chance(1), ' (chance 100 %)'),
    (formatting.chance(3), ' (chance 33 %)'),
    (formatting.chance(1000), ' (chance 0.1 %)'),
    (formatting.points(0.02), '2.0 points above'),
    (formatting.points(-0.305), '30.5 points below'),
    (formatting.number(1234.5), '1,234'),
    (formatting.number(12.3456), '12.35'),
    (formatting.count(1, 'image'), '1 image'),
    (formatting.count(2000, 'image'), '2,000 images'),
  ],
)
def test_numbers(text, expected):
  assert text == expected
