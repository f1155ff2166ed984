"""Small copies of images, and their superpixels, computed once per image.

Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel
methods", PAMI 2012, as in scikit-image. R is the number of regions.
"""

from typing import NamedTuple

import numpy as np

# A choice; detectors were no better at 256 or 400 pixels, and are slower there.
SIDE = 200
# The papers of the detectors take 200 regions or a few more.
COUNT = 200
# A choice, with the range of Lab values in an image scaled to 1. Rounder
# regions than those of SLIC's usual 0.1 gave better maps in every detector.
COMPACTNESS = 0.25
# SLIC's usual number of rounds.
ROUNDS = 10
# The mean color of fewer pixels would be noise.
LEAST_PIXELS = 16


class Superpixels(NamedTuple):
  """The regions of an image.

  Attributes:
    labels: region of every pixel [H, W], int32 in [0, R).
    color: mean CIE Lab [R, 3], float32.
    place: mean (y, x) [R, 2], float32, in units of the image's longer side.
    area: pixels [R], float32.
    rim: True for a region that touches the top, bottom, left and right side of
      the image [4, R], bool.
    edges: pairs of adjacent regions [E, 2], int32, the lower first.
  """

  labels: np.ndarray
  color: np.ndarray
  place: np.ndarray
  area: np.ndarray
  rim: np.ndarray
  edges: np.ndarray


class Scene(NamedTuple):
  """A small copy of an image and its regions.

  Attributes:
    lab: CIE Lab [h, w, 3], float32; L in [0, 100].
    superpixels: its R regions.
  """

  lab: np.ndarray
  superpixels: Superpixels


def check_image(image: np.ndarray) -> None:
  """Checks the shape and dtype of an image.

  Raises:
    ValueError: it is not [H, W, 3] of uint8, or has no pixel.
  """
  if (
    image.dtype != np.uint8
    or image.ndim != 3
    or image.shape[2] != 3
    or not image.size
  ):
    raise ValueError(
      'An image for saliency must be [H, W, 3] of uint8 with at least one'
      f' pixel, and is {list(image.shape)} of {image.dtype}.'
    )


def make_scene(image: np.ndarray, side: int = SIDE) -> Scene:
  """Shrinks an image to a longer side of `side` pixels and segments it.

  Args:
    image: [H, W, 3], uint8, sRGB; a smaller one is not resized.
    side: in pixels, at least 1.

  Raises:
    ValueError: as `check_image`.
  """
  from skimage.color import rgb2lab

  check_image(image)
  rgb = shrink(image / np.float32(255), side)
  lab = rgb2lab(rgb).astype(np.float32)
  return Scene(lab, segment(lab))


def shrink(image: np.ndarray, side: int) -> np.ndarray:
  """Resizes an image [H, W, C], float32, so that no side is above `side`."""
  height, width = image.shape[:2]
  scale = side / max(height, width)
  if scale >= 1:
    return image
  shape = max(1, round(height * scale)), max(1, round(width * scale))
  return np.stack(
    [resize(channel, shape) for channel in np.moveaxis(image, -1, 0)], axis=-1
  )


def resize(channel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  """Resizes [H, W], float32, bilinearly, with antialiasing if smaller."""
  from PIL import Image

  if channel.shape == tuple(shape):
    return channel
  height, width = shape
  image = Image.fromarray(np.ascontiguousarray(channel, np.float32))
  return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def segment(lab: np.ndarray, count: int = COUNT) -> Superpixels:
  """Divides an image into about `count` regions, fewer for a small one.

  Args:
    lab: CIE Lab [H, W, 3], float32, of at least one pixel.
    count: regions wanted, at least 1.
  """
  from skimage.segmentation import slic

  pixels = lab.shape[0] * lab.shape[1]
  labels = slic(
    lab,
    n_segments=max(1, min(count, pixels // LEAST_PIXELS)),
    compactness=COMPACTNESS,
    max_num_iter=ROUNDS,
    convert2lab=False,
    start_label=0,
  )
  return describe(lab, labels)


def describe(lab: np.ndarray, labels: np.ndarray) -> Superpixels:
  """Measures the regions of a segmentation.

  Args:
    lab: CIE Lab [H, W, 3].
    labels: [H, W], int; the distinct ones are renumbered 0, 1, ... in order.
  """
  height, width = labels.shape
  names, flat = np.unique(labels, return_inverse=True)
  flat = flat.ravel()
  labels = flat.reshape(height, width).astype(np.int32)
  area = np.bincount(flat)

  def mean(values: np.ndarray) -> np.ndarray:
    return np.bincount(flat, values.ravel()) / area

  y, x = np.mgrid[:height, :width] / max(height, width)
  rim = np.zeros((4, len(names)), bool)
  sides = labels[0], labels[-1], labels[:, 0], labels[:, -1]
  for row, side in zip(rim, sides, strict=True):
    row[side] = True
  return Superpixels(
    labels=labels,
    color=np.stack([mean(c) for c in np.moveaxis(lab, -1, 0)], 1, dtype='f4'),
    place=np.stack([mean(y), mean(x)], 1, dtype='f4'),
    area=area.astype(np.float32),
    rim=rim,
    edges=_adjacent(labels, len(names)),
  )


def _adjacent(labels: np.ndarray, regions: int) -> np.ndarray:
  """Returns pairs of regions with adjacent pixels [E, 2], int32."""
  one = np.concatenate([labels[:-1].ravel(), labels[:, :-1].ravel()])
  other = np.concatenate([labels[1:].ravel(), labels[:, 1:].ravel()])
  apart = one != other
  one, other = one[apart].astype(np.int64), other[apart]
  pair = np.unique(np.minimum(one, other) * regions + np.maximum(one, other))
  return np.stack([pair // regions, pair % regions], 1).astype(np.int32)


def region_means(superpixels: Superpixels, values: np.ndarray) -> np.ndarray:
  """Returns means over the regions [R] of values of the pixels [H, W]."""
  total = np.bincount(superpixels.labels.ravel(), values.ravel())
  return total / superpixels.area
