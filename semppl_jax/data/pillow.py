"""Decoding and scaling by Pillow, for runs without TensorFlow.

As in TensorFlow's decoders, EXIF orientation is ignored, alpha is dropped, and
of 16 bits the upper eight are taken. Scaling antialiases.
"""

import io

import numpy as np
from PIL import Image

KERNELS = {
  'bicubic': Image.Resampling.BICUBIC,
  'bilinear': Image.Resampling.BILINEAR,
}
# Errors of Pillow for damaged files and files that are not images.
UNREADABLE = (
  OSError, ValueError, SyntaxError, IndexError, Image.DecompressionBombError,
)  # fmt: skip


def image_size(content: bytes) -> tuple[int, int]:
  """Returns height and width of an encoded image, without decoding it.

  Raises:
    UNREADABLE: it is not an image.
  """
  with Image.open(io.BytesIO(content)) as image:
    return image.height, image.width


def decode(content: bytes, limit: tuple[int, int], kernel: str) -> np.ndarray:
  """Decodes an image to [H, W, 3], uint8, scaled down if it is too large.

  Args:
    content: JPEG, PNG, BMP or GIF (first frame).
    limit: largest height and width.
    kernel: interpolation, a key of `KERNELS`.

  Raises:
    UNREADABLE: it is not an image of these formats.
  """
  with Image.open(io.BytesIO(content)) as image:
    height, width = fit((image.height, image.width), limit)
    if (height, width) == (image.height, image.width):
      return _pixels(image)
    # A JPEG is decoded at a half, a quarter or an eighth where that suffices.
    image.draft('RGB', (2 * width, 2 * height))
    scaled = Image.fromarray(_pixels(image)).resize(
      (width, height), KERNELS[kernel]
    )
    return np.asarray(scaled)


def decode_mask(content: bytes, shape: tuple[int, int]) -> np.ndarray:
  """Decodes a mask to uint8 [H, W] of the image's shape, 1 above gray 127.

  Raises:
    UNREADABLE: it is not an image.
  """
  with Image.open(io.BytesIO(content)) as image:
    gray = image.convert('L')
    if (gray.height, gray.width) != shape:
      gray = gray.resize((shape[1], shape[0]), Image.Resampling.NEAREST)
    return (np.asarray(gray) > 127).astype(np.uint8)


def fit(shape: tuple[int, int], limit: tuple[int, int]) -> tuple[int, int]:
  """Returns height and width of an image scaled down to a limit."""
  scale = min(1.0, limit[0] / shape[0], limit[1] / shape[1])
  height, width = (max(round(scale * size), 1) for size in shape)
  return height, width


def center_crop(
  image: np.ndarray, resize: int, crop: int, kernel: str
) -> np.ndarray:
  """Scales the short side to `resize` and crops the center, [crop, crop, 3].

  The box is that of `tf.random_resized_crop.center_crops`.

  Args:
    image: uint8 [H, W, 3].
    resize: short side in pixels, at least `crop`.
    crop: side of the result in pixels.
    kernel: interpolation, a key of `KERNELS`.
  """
  height, width = image.shape[:2]
  side = np.float32(min(height, width)) * np.float32(crop / resize)
  size = max(round(side), 1)
  top, left = (height - size) // 2, (width - size) // 2
  box = image[top : top + size, left : left + size]
  if size == crop:
    return box
  return np.asarray(Image.fromarray(box).resize((crop, crop), KERNELS[kernel]))


def _pixels(image: Image.Image) -> np.ndarray:
  if image.mode.startswith('I'):  # 16 bits.
    gray = (np.asarray(image).astype(np.int32) >> 8).clip(0, 255)
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=-1)
  return np.asarray(image.convert('RGB'))
