"""An image as the detectors see it."""

from typing import NamedTuple

import numpy as np

from semppl_jax.saliency.superpixels import segment, Superpixels

# A choice; detectors found no more at 256 or 400 pixels, and take longer there.
SIDE = 200


class Scene(NamedTuple):
  """A small copy of an image and its regions.

  Attributes:
    lab: CIE Lab [h, w, 3], float32; L in [0, 100].
    superpixels: its R regions.
  """

  lab: np.ndarray
  superpixels: Superpixels


def check(image: np.ndarray) -> None:
  """Looks whether an array is an image.

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
      f'An image to look for salient objects in must be [H, W, 3] of uint8, '
      f'with a pixel at least, and is {list(image.shape)} of {image.dtype}.'
    )


def look(image: np.ndarray, side: int = SIDE) -> Scene:
  """Shrinks an image to a longer side of `side` pixels and cuts it up.

  Args:
    image: [H, W, 3], uint8, sRGB; a smaller one stays as it is.
    side: in pixels, at least 1.

  Raises:
    ValueError: as `check`.
  """
  from skimage.color import rgb2lab

  check(image)
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
  """Resizes [H, W], float32, bilinearly, and with antialiasing where down."""
  from PIL import Image

  if channel.shape == tuple(shape):
    return channel
  height, width = shape
  image = Image.fromarray(np.ascontiguousarray(channel, np.float32))
  return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
