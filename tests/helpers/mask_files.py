"""Stores of masks made on the spot, and images that tell their own mask."""

import io
import pathlib

import numpy as np
from PIL import Image

from semppl_jax.data import masks
from semppl_jax.saliency import mask_store

MAKER = {'detector': 'by hand', 'version': 1}


def blob(number: int, size=(24, 30)) -> np.ndarray:
  """A rectangle that is another for each number, bool [H, W]."""
  rng = np.random.default_rng(number)
  mask = np.zeros(size, bool)
  top, left = (rng.integers(0, side // 2) for side in size)
  high, wide = (rng.integers(side // 4, side // 2) for side in size)
  mask[top : top + high, left : left + wide] = True
  return mask


def shown(number: int, size=(24, 30)) -> bytes:
  """An image that is white on its blob and black elsewhere, as PNG."""
  return png(np.repeat(blob(number, size)[..., None], 3, axis=-1))


def png(mask: np.ndarray) -> bytes:
  """Any array of true and false as a PNG of white and black."""
  stream = io.BytesIO()
  Image.fromarray(mask.astype(np.uint8) * 255).save(stream, 'PNG')
  return stream.getvalue()


def write_store(folder, ids, contents, data='by hand') -> str:
  """A finished store of one PNG per id, or of none where there is None."""
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  facts = masks.StoreInfo(data, len(ids), masks.fingerprint(ids), MAKER)
  tallies = []
  for number, rows in enumerate(masks.shard_ranges(len(ids))):
    file = masks.shard_file(str(folder), len(ids), number)
    pairs = [(ids[i], contents[i]) for i in rows if contents[i] is not None]
    mask_store.write_shard(file, pairs)
    tallies.append(mask_store.count_shard(file))
  mask_store.write_info(
    str(folder), facts._replace(counts=mask_store.total(tallies))
  )
  return str(folder)
