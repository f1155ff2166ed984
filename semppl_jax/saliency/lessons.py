"""What a mask network learns from: small images, and the detectors' maps."""

from collections.abc import Iterator, Sequence
import json
import logging
import os
import pathlib
from typing import NamedTuple
import zipfile

import numpy as np

from semppl_jax.data.dataset import Dataset
from semppl_jax.saliency import pieces as pieces_lib, workers
from semppl_jax.saliency.detectors import detect
from semppl_jax.saliency.network import Settings
from semppl_jax.saliency.pieces import Piece
from semppl_jax.saliency.predict import to_square
from semppl_jax.saliency.scene import resize

_log = logging.getLogger(__name__)
_PIECE = 50  # Images of a piece of work.
# Raised when what the file holds changes.
_VERSION = 1


class Lessons(NamedTuple):
  """n images and what each of H detectors makes of them.

  Attributes:
    images: [n, S, S, 3], uint8.
    maps: [n, S / 2, S / 2, H], uint8; 255 is salient.
  """

  images: np.ndarray
  maps: np.ndarray


def collect(
  folder: str,
  data: Dataset,
  name: str,
  count: int,
  settings: Settings,
  processes: int,
) -> Lessons:
  """Runs the detectors on some images, evenly spread, unless it is done.

  Args:
    folder: where the file of them is kept, so that it is made once.
    data: the images; labels are not looked at.
    name: what they are called, to tell them from others.
    count: how many, at most.
    settings: of the network; its heads are names of detectors.
    processes: that work side by side.

  Raises:
    ValueError: none of the images can be read.
  """
  rows = np.linspace(0, data.size - 1, min(count, data.size)).astype(int)
  rows = np.unique(rows)
  ids = data.ids[rows].tolist()
  about = json.dumps([_VERSION, name, ids, settings.heads, settings.side])
  file = pathlib.Path(folder, 'lessons.npz')
  found = _read(file, about)
  if found is None:
    work = [
      pieces_lib.piece(data, rows[first : first + _PIECE])
      for first in range(0, len(rows), _PIECE)
    ]
    arguments = [(piece, settings) for piece in work]
    sizes = [len(piece.ids) for piece in work]
    found = _joined(workers.run(_make, arguments, sizes, processes))
    _write(file, about, found)
  if not len(found.images):
    raise ValueError(
      f'None of the {len(rows)} images to learn from can be read.'
    )
  return found


def _make(piece: Piece, settings: Settings) -> Lessons:
  import threadpoolctl

  # Threads of several workers on the same cores wait for each other.
  with threadpoolctl.threadpool_limits(1):
    taught = [*_taught(piece, settings)]
  side, heads = settings.side, len(settings.heads)
  return Lessons(
    np.array([x for x, _ in taught], np.uint8).reshape(-1, side, side, 3),
    np.array([y for _, y in taught], np.uint8).reshape(
      -1, side // 2, side // 2, heads
    ),
  )


def _taught(
  piece: Piece, settings: Settings
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  half = settings.side // 2
  for image in pieces_lib.images(piece):
    if image is None:
      continue
    maps = detect(image, settings.heads)
    small = [resize(maps[name], (half, half)) for name in settings.heads]
    levels = np.rint(255 * np.clip(np.stack(small, -1), 0, 1))
    yield to_square(image, settings.side), levels.astype(np.uint8)


def _joined(parts: Sequence[Lessons]) -> Lessons:
  return Lessons(*(np.concatenate(x) for x in zip(*parts, strict=True)))


def _read(file: pathlib.Path, about: str) -> Lessons | None:
  """The lessons in a file, if they are those that `about` says."""
  try:
    with np.load(file) as found:
      if str(found['about']) == about:
        _log.info('The lessons in %s are taken.', file)
        return Lessons(found['images'], found['maps'])
  except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile):
    pass
  return None


def _write(file: pathlib.Path, about: str, found: Lessons) -> None:
  partial = file.with_suffix('.partial.npz')
  np.savez(partial, about=np.array(about), **found._asdict())
  os.replace(partial, file)
