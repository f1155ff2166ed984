"""Building blocks of the page, as records without HTML."""

import base64
from collections.abc import Sequence
import io
from typing import NamedTuple

import numpy as np

# Pixels of the longer side; smaller images are enlarged in the page.
_SIDE = 112
_QUALITY = 80


class Figure(NamedTuple):
  """A drawing.

  Attributes:
    title: its name, also the key of its data in the page.
    svg: the drawing, from `plots.svg`.
    good: one sentence that says what good looks like.
    data: numbers of the drawing, as JSON holds them.
  """

  title: str
  svg: str
  good: str
  data: object


class Table(NamedTuple):
  """Rows of cells under a head; the first cell of a row names it.

  Attributes:
    title: its name.
    head: names of the columns.
    rows: texts.
    good: a sentence that helps to read it, or ''.
    folded: True to show it on demand only.
  """

  title: str
  head: Sequence[str]
  rows: Sequence[Sequence[str]]
  good: str = ''
  folded: bool = False


class Picture(NamedTuple):
  """An image.

  Attributes:
    source: a data URI, from `encode_image`.
    caption: a few words below.
    right: True for a correct class, False for a wrong one, None if unknown.
  """

  source: str
  caption: str
  right: bool | None = None

  @classmethod
  def from_image(
    cls, image: np.ndarray, caption: str, right: bool | None = None
  ) -> 'Picture':
    """Encodes an image uint8 [H, W, 3] or [H, W]."""
    return cls(encode_image(image), caption, right)


class Card(NamedTuple):
  """Pictures that belong together, side by side under a title."""

  title: str
  pictures: Sequence[Picture]
  right: bool | None = None


class Gallery(NamedTuple):
  """Cards, and one sentence that says what good looks like."""

  title: str
  cards: Sequence[Card]
  good: str


class Note(NamedTuple):
  """A sentence, for example why something cannot be shown."""

  text: str


class Heading(NamedTuple):
  """The name of a run, above the blocks of this run."""

  text: str


Block = Figure | Table | Gallery | Note | Heading


class Section(NamedTuple):
  """A question and its answer.

  Attributes:
    key: name of the section in links and in the data of the page.
    question: the heading.
    answer: sentences that sum up the blocks.
    blocks: figures, tables, galleries and notes.
  """

  key: str
  question: str
  answer: Sequence[str]
  blocks: list[Block]


def encode_image(image: np.ndarray) -> str:
  """Returns an image as the data URI of a small WebP file.

  Args:
    image: uint8 [H, W, 3] or [H, W].
  """
  from PIL import Image

  picture = Image.fromarray(image)
  if max(picture.size) > _SIDE:
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
  stream = io.BytesIO()
  picture.save(stream, 'WEBP', quality=_QUALITY, method=4)
  content = base64.b64encode(stream.getvalue()).decode()
  return f'data:image/webp;base64,{content}'
