"""What a mask network learns from: small images, and the detectors' maps."""

from collections.abc import Iterator, Sequence
import hashlib
import json
import logging
import os
import pathlib
from typing import NamedTuple
import zipfile

import numpy as np

from semppl_jax.data.dataset import Dataset
from semppl_jax.runtime import worker_pool
from semppl_jax.runtime.files import atomic_write
from semppl_jax.saliency import detectors, shards as shards_lib
from semppl_jax.saliency.image import resize
from semppl_jax.saliency.network import Settings
from semppl_jax.saliency.predict import to_square
from semppl_jax.saliency.shards import Piece

_log = logging.getLogger(__name__)
_PIECE = 50  # Images of a file.
# Raised when what a file holds changes.
_VERSION = 1


class Lessons(NamedTuple):
  """n images and what each of H detectors makes of them.

  Attributes:
    images: [n, S, S, 3], uint8.
    maps: [n, S / 2, S / 2, H], uint8; 255 is salient.
  """

  images: np.ndarray
  maps: np.ndarray


class Plan(NamedTuple):
  """What lessons are to be made of.

  Attributes:
    pieces: the images, each piece with its file.
    settings: of the network; its heads are names of detectors.
    about: what tells the lessons from others.
  """

  pieces: tuple[Piece, ...]
  settings: Settings
  about: str


def plan(
  folder: str, data: Dataset, name: str, count: int, settings: Settings
) -> Plan:
  """Picks images, evenly spread.

  Args:
    folder: where the files of the lessons are kept, so that they are made once.
    data: the images; labels are not looked at.
    name: what they are called, to tell them from others.
    count: how many, at most.
    settings: of the network; its heads are names of detectors.
  """
  rows = shards_lib.spread(data.size, count)
  pieces = tuple(
    shards_lib.piece(
      data,
      rows[first : first + _PIECE],
      os.path.join(folder, f'lessons-{first // _PIECE:05d}.npz'),
    )
    for first in range(0, len(rows), _PIECE)
  )
  ids = [piece.ids for piece in pieces]
  return Plan(pieces, settings, _about(name, pieces[0].key, ids, settings))


def collect(plan: Plan, processes: int) -> Lessons:
  """Runs the detectors on the images, save those of files that are whole.

  Args:
    plan: from `plan`.
    processes: that work side by side.

  Raises:
    worker_pool.WorkerError: a worker was ended, as when memory is short.
  """
  arguments = [(piece, plan.settings, plan.about) for piece in plan.pieces]
  sizes = [len(piece.ids) for piece in plan.pieces]
  parts = worker_pool.run(_make_file, arguments, sizes, processes)
  found = Lessons(*(np.concatenate(x) for x in zip(*parts, strict=True)))
  missing = sum(sizes) - len(found.images)
  if missing:
    _log.warning('%d of %d images cannot be read.', missing, sum(sizes))
  return found


def _about(
  name: str, key: str, ids: Sequence[Sequence[str]], settings: Settings
) -> str:
  content = json.dumps(
    [_VERSION, detectors.VERSION, name, key, ids, settings.heads, settings.side]
  )
  return hashlib.sha256(content.encode()).hexdigest()[:16]


def _make_file(piece: Piece, settings: Settings, about: str) -> Lessons:
  """The lessons of a piece, from its file if that has all of them."""
  import threadpoolctl

  file = pathlib.Path(piece.file)
  found = _read(file, about)
  if found is None or len(found.images) < len(piece.ids):
    # Threads of several workers on the same cores wait for each other.
    with threadpoolctl.threadpool_limits(1):
      found = _joined([*_taught(piece, settings)], settings)
    _write(file, about, found)
  return found


def _taught(
  piece: Piece, settings: Settings
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  half = settings.side // 2
  for image in shards_lib.images(piece):
    if image is None:
      continue
    maps = detectors.detect(image, settings.heads)
    small = [resize(maps[name], (half, half)) for name in settings.heads]
    yield to_square(image, settings.side), levels(np.stack(small, -1))


def levels(maps: np.ndarray) -> np.ndarray:
  """Rounds maps in [0, 1] to uint8; 255 is salient."""
  return np.rint(255 * np.clip(maps, 0, 1)).astype(np.uint8)


def _joined(
  taught: Sequence[tuple[np.ndarray, np.ndarray]], settings: Settings
) -> Lessons:
  side, half = settings.side, settings.side // 2
  images, maps = zip(*taught, strict=True) if taught else ((), ())
  return Lessons(
    np.array(images, np.uint8).reshape(-1, side, side, 3),
    np.array(maps, np.uint8).reshape(-1, half, half, len(settings.heads)),
  )


def _read(file: pathlib.Path, about: str) -> Lessons | None:
  """The lessons in a file, if they are those that `about` says."""
  try:
    with np.load(file) as found:
      if str(found['about']) == about:
        return Lessons(found['images'], found['maps'])
  except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile):
    pass
  return None


def _write(file: pathlib.Path, about: str, found: Lessons) -> None:
  with atomic_write(file) as temporary, temporary.open('wb') as stream:
    np.savez(stream, about=np.array(about), **found._asdict())
