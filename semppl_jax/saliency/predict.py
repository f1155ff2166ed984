"""Saliency maps by a mask network."""

from collections.abc import Callable

import jax
import numpy as np

from semppl_jax.saliency import network, network_io
from semppl_jax.saliency.image import check, resize, shrink, SIDE
from semppl_jax.saliency.postprocess import contrast, guided_filter

# A choice: about a just noticeable difference. A plainer image shows nothing.
_VISIBLE = 3
# A choice: half of what a pixel of the network's map covers of the small image.
_RADIUS = 4
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def load(path: str) -> Callable[[np.ndarray], np.ndarray]:
  """Returns the detector of a file of a mask network.

  Its map is the mean of the heads, drawn apart and led along the edges of the
  image, as the maps of the detectors are.

  Args:
    path: from `network_io.write`.

  Returns:
    From an image [H, W, 3], uint8, to its map [H, W], float32 in [0, 1].

  Raises:
    ValueError: as `network_io.read`; of the function, as `image.check`.
  """
  settings, params = network_io.read(path)
  apply = network.make(settings).apply
  run = jax.jit(lambda x: jax.nn.sigmoid(apply(params, x)).mean(-1))
  cpu = jax.local_devices(backend='cpu')[0]

  def detect(image: np.ndarray) -> np.ndarray:
    check(image)
    square = to_square(image, settings.side)
    if np.ptp(square, axis=(0, 1)).max() < _VISIBLE:
      return np.zeros(image.shape[:2], np.float32)
    # A mask may not depend on who makes it: workers have no accelerator.
    with jax.default_device(cpu):
      return draw(image, np.asarray(run(square[None])[0]))

  return detect


def to_square(image: np.ndarray, side: int) -> np.ndarray:
  """Resizes an image to [side, side, 3], uint8, whatever its aspect."""
  from PIL import Image

  resized = Image.fromarray(image).resize(
    (side, side), Image.Resampling.BILINEAR
  )
  return np.asarray(resized)


def draw(image: np.ndarray, small: np.ndarray) -> np.ndarray:
  """A map [H, W] of an image from a small one, both in [0, 1]."""
  grey = image @ _LUMA / np.float32(255)
  guide = shrink(grey[..., None], SIDE)[..., 0]
  values = contrast(small.ravel(), np.ones(small.size)).reshape(small.shape)
  values = resize(values.astype(np.float32), guide.shape)
  values = guided_filter(guide, values, _RADIUS)
  return np.clip(resize(values.astype(np.float32), image.shape[:2]), 0, 1)
