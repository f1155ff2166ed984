"""What a section of the page is made of; no HTML, so that tests can read it."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Figure(NamedTuple):
  """A drawing.

  Attributes:
    title: what it shows.
    svg: the drawing, from `plots.svg`.
    good: one sentence that says what good looks like.
    data: what was drawn, as JSON holds it.
  """

  title: str
  svg: str
  good: str
  data: Any


class Table(NamedTuple):
  """Rows of cells under a head; the first cell of a row names it.

  Attributes:
    title: what it shows.
    head: names of the columns.
    rows: texts.
    good: one sentence that says what good looks like, or ''.
    folded: whether it is shown on demand alone.
  """

  title: str
  head: Sequence[str]
  rows: Sequence[Sequence[str]]
  good: str = ''
  folded: bool = False


class Picture(NamedTuple):
  """An image.

  Attributes:
    source: a data URI, from `pictures.encode`.
    caption: a few words below.
    right: whether what it shows is right, or None: neither.
  """

  source: str
  caption: str
  right: bool | None = None


class Card(NamedTuple):
  """Pictures of one thing, side by side under a title."""

  title: str
  pictures: Sequence[Picture]
  right: bool | None = None


class Gallery(NamedTuple):
  """Cards, and one sentence that says what good looks like."""

  title: str
  cards: Sequence[Card]
  good: str


class Note(NamedTuple):
  """A sentence, as of what cannot be shown and why."""

  text: str


class Heading(NamedTuple):
  """The name of a run, above what is of it alone."""

  text: str


Block = Figure | Table | Gallery | Note | Heading


class Section(NamedTuple):
  """A question and its answer.

  Attributes:
    key: a short name, which links to it.
    question: the heading.
    answer: sentences that say what the blocks show.
    blocks: what shows it.
  """

  key: str
  question: str
  answer: Sequence[str]
  blocks: Sequence[Block]
