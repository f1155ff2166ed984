"""Tables as text: columns of fixed width, and Markdown."""

from collections.abc import Iterable, Sequence


def fixed_width(
  rows: Iterable[Sequence[str]], formats: Sequence[str], gap: str = ''
) -> str:
  """Returns a line for each row.

  Args:
    rows: cells of each row.
    formats: format specification of each column, as `'<22'` or `'>14'`.
    gap: text between two columns.
  """
  return '\n'.join(
    gap.join(format(*pair) for pair in zip(cells, formats, strict=True))
    for cells in rows
  )


def markdown(rows: Sequence[Sequence[str]]) -> str:
  """Returns a Markdown table of rows of cells; the first row is the head."""
  head, *rest = rows
  lines = [head, ['---'] * len(head), *rest]
  return '\n'.join(f'| {" | ".join(row)} |' for row in lines)
