"""Images decoded and scaled by Pillow, where TensorFlow may be missing.

As TensorFlow's decoders do: orientations in EXIF are not looked at, alpha is
dropped, and of 16 bits the upper eight are taken. Scaling antialiases.
"""

import io

import numpy as np
from PIL import Image

KERNELS = {
  'bicubic': Image.Resampling.BICUBIC,
  'bilinear': Image.Resampling.BILINEAR,
}
# What Pillow raises for files that are no images, or damaged ones.
UNREADABLE = (
  OSError, ValueError, SyntaxError, IndexError, Image.DecompressionBombError,
)  # fmt: skip


def extent(content: bytes) -> tuple[int, int]:
  """Returns height and width of an encoded image, without decoding it.

  Raises:
    UNREADABLE: it is none.
  """
  with Image.open(io.BytesIO(content)) as image:
    return image.height, image.width


def decode(content: bytes, within: tuple[int, int], kernel: str) -> np.ndarray:
  """Decodes an image to [H, W, 3], uint8, scaled down where it is too large.

  Args:
    content: JPEG, PNG, BMP or GIF (first frame).
    within: height and width that it must not exceed.
    kernel: to scale by, of `KERNELS`.

  Raises:
    UNREADABLE: it is none of these.
  """
  with Image.open(io.BytesIO(content)) as image:
    height, width = fitted((image.height, image.width), within)
    if (height, width) == (image.height, image.width):
      return _pixels(image)
    # A JPEG is decoded at a half, a quarter or an eighth where that suffices.
    image.draft('RGB', (2 * width, 2 * height))
    scaled = Image.fromarray(_pixels(image)).resize(
      (width, height), KERNELS[kernel]
    )
    return np.asarray(scaled)


def decode_mask(content: bytes, shape: tuple[int, int]) -> np.ndarray:
  """Decodes a mask to uint8 [H, W], 1 above grey 127, of the image's shape.

  Raises:
    UNREADABLE: it is no image.
  """
  with Image.open(io.BytesIO(content)) as image:
    grey = image.convert('L')
    if (grey.height, grey.width) != shape:
      grey = grey.resize((shape[1], shape[0]), Image.Resampling.NEAREST)
    return (np.asarray(grey) > 127).astype(np.uint8)


def fitted(shape: tuple[int, int], within: tuple[int, int]) -> tuple[int, int]:
  """Height and width of an image once it is no larger than allowed."""
  scale = min(1.0, within[0] / shape[0], within[1] / shape[1])
  height, width = (max(round(scale * size), 1) for size in shape)
  return height, width


def centre_crop(
  image: np.ndarray, resize: int, crop: int, kernel: str
) -> np.ndarray:
  """Scales the short side to `resize` and cuts the centre, [crop, crop, 3].

  The box is that of `data.crops.centre_crops`.

  Args:
    image: uint8 [H, W, 3].
    resize: short side in pixels, at least `crop`.
    crop: side of the result in pixels.
    kernel: of `KERNELS`.
  """
  height, width = image.shape[:2]
  size = max(
    round(np.float32(min(height, width)) * np.float32(crop / resize)), 1
  )
  top, left = (height - size) // 2, (width - size) // 2
  cut = image[top : top + size, left : left + size]
  if size == crop:
    return cut
  return np.asarray(Image.fromarray(cut).resize((crop, crop), KERNELS[kernel]))


def _pixels(image: Image.Image) -> np.ndarray:
  if image.mode.startswith('I'):  # 16 bits.
    grey = (np.asarray(image).astype(np.int32) >> 8).clip(0, 255)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)
  return np.asarray(image.convert('RGB'))
