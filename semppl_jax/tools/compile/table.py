"""Tables in Markdown."""

from collections.abc import Sequence


def markdown(rows: Sequence[Sequence[str]]) -> str:
  """A table of rows of cells, of which the first row is the head."""
  head, *rest = rows
  lines = [head, ['---'] * len(head), *rest]
  return '\n'.join(f'| {" | ".join(row)} |' for row in lines)
