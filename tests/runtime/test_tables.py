"""Tables as text."""

import pytest

from semppl_jax.runtime import tables


def test_columns_have_their_width():
  rows = [('a', '1'), ('long', '23')]
  assert tables.fixed_width(rows, ('<5', '>3')) == 'a      1\nlong  23'
  assert tables.fixed_width(rows, ('>4', ''), '  ') == '   a  1\nlong  23'


def test_a_row_of_another_length_is_refused():
  with pytest.raises(ValueError, match='zip'):
    tables.fixed_width([('a',)], ('<5', '>3'))


def test_markdown_has_a_line_below_its_head():
  assert tables.markdown([('x', 'y'), ('1', '2')]) == (
    '| x | y |\n| --- | --- |\n| 1 | 2 |'
  )
