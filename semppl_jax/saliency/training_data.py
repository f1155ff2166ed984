"""Training set of a mask network: small images and the detectors' maps."""

from collections.abc import Sequence
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
from semppl_jax.saliency.network_io import to_square
from semppl_jax.saliency.shards import ImageShard

_log = logging.getLogger(__name__)
_SHARD_IMAGES = 50
# Raised when the content of a file changes.
_VERSION = 1


class TrainingSet(NamedTuple):
  """Maps of H detectors for n images.

  Attributes:
    images: [n, S, S, 3], uint8.
    maps: [n, S / 2, S / 2, H], uint8; 255 is salient.
  """

  images: np.ndarray
  maps: np.ndarray


def select(
  folder: str, data: Dataset, name: str, count: int, settings: Settings
) -> tuple[list[ImageShard], str]:
  """Selects evenly spaced images.

  Args:
    folder: folder of the files of the training set, which are made once.
    data: the images; labels are not used.
    name: name of the data set, part of the fingerprint.
    count: how many, at most.
    settings: of the network; its heads are names of detectors.

  Returns:
    The images, each shard with its file; and the fingerprint of their
    training set.
  """
  rows = shards_lib.evenly_spaced(data.size, count)
  shards = [
    shards_lib.make_shard(
      data,
      rows[first : first + _SHARD_IMAGES],
      os.path.join(folder, f'lessons-{first // _SHARD_IMAGES:05d}.npz'),
    )
    for first in range(0, len(rows), _SHARD_IMAGES)
  ]
  content = [
    *(_VERSION, detectors.VERSION, name, shards[0].key),
    *([x.ids for x in shards], settings.heads, settings.side),
  ]
  sha = hashlib.sha256(json.dumps(content).encode())
  return shards, sha.hexdigest()[:16]


def make(
  shards: Sequence[ImageShard],
  fingerprint: str,
  settings: Settings,
  processes: int,
) -> TrainingSet:
  """Runs the detectors on the images that have no complete file.

  Args:
    shards: from `select`.
    fingerprint: from `select`.
    settings: of the network; its heads are names of detectors.
    processes: parallel processes.

  Raises:
    worker_pool.WorkerError: a worker was ended, as when memory is short.
  """
  arguments = [(shard, settings, fingerprint) for shard in shards]
  sizes = [len(shard.ids) for shard in shards]
  parts = worker_pool.run(_make_file, arguments, sizes, processes)
  joined = TrainingSet(*(np.concatenate(x) for x in zip(*parts, strict=True)))
  missing = sum(sizes) - len(joined.images)
  if missing:
    _log.warning('%d of %d images cannot be read.', missing, sum(sizes))
  return joined


def to_bytes(maps: np.ndarray) -> np.ndarray:
  """Rounds maps in [0, 1] to uint8; 255 is salient."""
  return np.rint(255 * np.clip(maps, 0, 1)).astype(np.uint8)


def _make_file(
  shard: ImageShard, settings: Settings, fingerprint: str
) -> TrainingSet:
  """Returns the part of a shard, from its file if that is complete."""
  import threadpoolctl

  file = pathlib.Path(shard.file)
  part = _read(file, fingerprint)
  if part is None or len(part.images) < len(shard.ids):
    # Threads of several workers on the same cores wait for each other.
    with threadpoolctl.threadpool_limits(1):
      part = _run_detectors(shard, settings)
    with atomic_write(file) as temporary, temporary.open('wb') as stream:
      np.savez(stream, about=np.array(fingerprint), **part._asdict())
  return part


def _run_detectors(shard: ImageShard, settings: Settings) -> TrainingSet:
  side, half = settings.side, settings.side // 2
  images, maps = [], []
  for image in shards_lib.read_images(shard):
    if image is None:
      continue
    found = detectors.detect(image, settings.heads)
    small = [resize(found[name], (half, half)) for name in settings.heads]
    images.append(to_square(image, side))
    maps.append(to_bytes(np.stack(small, -1)))
  return TrainingSet(
    np.array(images, np.uint8).reshape(-1, side, side, 3),
    np.array(maps, np.uint8).reshape(-1, half, half, len(settings.heads)),
  )


def _read(file: pathlib.Path, fingerprint: str) -> TrainingSet | None:
  """Returns the content of a file, None if it is not of this set."""
  try:
    with np.load(file) as content:
      if str(content['about']) == fingerprint:
        return TrainingSet(content['images'], content['maps'])
  except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile):
    pass
  return None
