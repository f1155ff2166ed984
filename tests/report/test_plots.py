"""Drawings as SVG elements of a page."""

import html
import re

import numpy as np
import pytest

from semppl_jax.report import plots
from semppl_jax.report.plots import Line


def _draw(title='a title', **options):
  x = np.arange(3.0)
  curves = [Line('one', x, x + 1), Line('two', x, x + 2, faint=True)]
  return plots.lines(title, curves, x='Steps', y='loss', **options)


def test_colors_are_those_of_the_page():
  svg = _draw(levels={'level': 2.0})
  for variable in ('--ink', '--faint', '--series-0'):
    assert f'var({variable})' in svg
  placeholders = (plots.INK, plots.FAINT, *plots.SERIES)
  assert not any(color in svg for color in placeholders)


def test_the_title_is_a_label_and_not_markup():
  title = '<b>"A" & B</b>'
  svg = _draw(title)
  (label,) = re.findall(r'aria-label="([^"]*)"', svg)
  assert html.unescape(label) == title
  assert '<b>' not in svg


def test_only_named_curves_and_levels_are_in_the_legend():
  texts = re.findall(r'>([^<>]+)</text>', _draw(levels={'level': 2.0}))
  assert {'one', 'level', 'Steps', 'loss'} <= set(texts)
  assert 'two' not in texts


def test_long_curves_are_averaged():
  x, y = plots.thinned(np.arange(1000), np.arange(1000.0), 10)
  assert x[-1] == 999 and len(x) == len(y) == 10
  np.testing.assert_allclose(y[:2], [49.5, 149.5])
  short = np.arange(10)
  assert plots.thinned(short, short, 10)[1] is short


@pytest.mark.parametrize('length', [1, 28, 29, 200])
def test_names_keep_their_beginning_and_end(length):
  name = 'begin' + '_' * length + 'end'
  short = plots.short(name)
  assert len(short) == min(len(name), 28)
  assert short.startswith('begin') and short.endswith('end')


def test_numbers_are_rounded_for_json():
  values = np.asarray([[1.234567, np.nan], [np.inf, -123456.7]])
  assert plots.rounded(values) == [1.2346, None, None, -123460.0]
