"""Photographs of hands, digits of a sign language, split by hand.

Neighbouring file numbers are of one hand, so that a random split would test on
hands of the train set.
"""

from collections.abc import Sequence
import io
import pathlib
from typing import NamedTuple

from PIL import Image

_QUALITY = 80  # Of the JPEG files.
# Hands of a block; one of so many blocks is for the test.
_HANDS, _PERIOD = 4, 4


class Photo(NamedTuple):
  """A photograph.

  Attributes:
    number: number in its file's name.
    digit: the digit that the hand shows.
    path: its file.
  """

  number: int
  digit: int
  path: pathlib.Path


def photos(folder: str) -> list[Photo]:
  """Lists the photographs of a folder, by number."""
  return sorted(
    Photo(int(path.stem.removeprefix('IMG_')), int(path.parent.name), path)
    for path in pathlib.Path(folder).glob('[0-9]/IMG_*.JPG')
  )


def split_by_hand(photos: Sequence[Photo]) -> dict[str, list[Photo]]:
  """Splits photographs, ascending by number, so that no hand is in two parts.

  A hand shows the digits in their order, mostly all ten. Where some lack it is
  unclear which hand a photograph is of; parts meet between complete hands only.
  """
  runs: list[list[Photo]] = []
  for photo in photos:
    if not runs or photo.digit <= runs[-1][-1].digit:
      runs.append([])
    runs[-1].append(photo)
  blocks: list[list[Photo]] = [[]]
  hands = 0
  for before, run in zip([[], *runs], runs, strict=False):
    if hands >= _HANDS and len(before) == len(run) == 10:
      blocks.append([])
      hands = 0
    blocks[-1] += run
    hands += 1
  parts: dict[str, list[Photo]] = {'train': [], 'test': []}
  for number, block in enumerate(blocks):
    parts['test' if number % _PERIOD == _PERIOD - 1 else 'train'] += block
  return parts


def encode(path: pathlib.Path) -> bytes:
  """Encodes a photograph again, smaller."""
  stream = io.BytesIO()
  with Image.open(path) as image:
    image.convert('RGB').save(stream, 'JPEG', quality=_QUALITY, optimize=True)
  return stream.getvalue()
