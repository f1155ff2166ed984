"""Common corruptions of small images, at the strengths of CIFAR-10-C.

Hendrycks and Dietterich, arXiv 1903.12261; strengths and steps as in
`create_c/make_cifar_c.py` of hendrycks/robustness, for images of 32 pixels.
Pixels are truncated to integers, not rounded, as there. Five of ImageNet-C's
fifteen are left out: motion blur and snow (ImageMagick's motion blur), frost
(photographs of frost), fog (a plasma fractal of fixed size) and glass blur (its
published swap of pixels overwrites one of the two). With higher severity the
elastic transform has less shear and finer displacements. The random draws are
not those of the published files, so results compare with each other, and only
approximately with those on CIFAR-10-C.
"""

from collections.abc import Callable
import io

from jaxtyping import Int, UInt8
import numpy as np
from PIL import Image
from scipy import ndimage

from semppl_jax.evaluators.metrics import SEVERITIES

# (image [H, W, 3] in [0, 1], its random generator, severity - 1) -> image.
_Corruption = Callable[[np.ndarray, np.random.Generator, int], np.ndarray]


def apply(
  name: str,
  images: UInt8[np.ndarray, 'n H W 3'],
  severity: int,
  seed: int,
  index: Int[np.ndarray, 'n'],
) -> UInt8[np.ndarray, 'n H W 3']:
  """Returns corrupted images [n, H, W, 3], uint8.

  Random draws depend only on the seed, the corruption, its severity and the
  position of the image, not on the order or on the other images.

  Args:
    name: one of `NAMES`.
    images: [n, H, W, 3], uint8, of any side; strengths in pixels are for 32.
    severity: 1 to 5.
    seed: at least 0.
    index: positions of the images in their data set [n], int, at least 0.

  Raises:
    ValueError: unknown name or severity, or a negative position.
  """
  if name not in _ALL:
    raise ValueError(f'Corruption {name!r} must be one of {", ".join(NAMES)}.')
  if severity not in SEVERITIES:
    raise ValueError(f'Severity {severity} of {name!r} must be 1 to 5.')
  if (index < 0).any():
    raise ValueError(
      f'Positions of images to corrupt must be >= 0, got {index.min()}.'
    )
  result = np.empty_like(images)
  for row, position in enumerate(index.tolist()):
    rng = np.random.default_rng([seed, severity, position, *name.encode()])
    corrupted = _ALL[name](images[row] / 255.0, rng, severity - 1)
    # 29 / 255 * 255 is slightly below 29 and would be truncated to 28.
    result[row] = np.clip(corrupted, 0, 1) * 255 + 1e-6
  return result


def _gaussian_noise(x: np.ndarray, rng: np.random.Generator, level: int):
  scale = (0.04, 0.06, 0.08, 0.09, 0.10)[level]
  return x + rng.normal(scale=scale, size=x.shape)


def _shot_noise(x: np.ndarray, rng: np.random.Generator, level: int):
  photons = (500, 250, 100, 75, 50)[level]
  return rng.poisson(x * photons) / photons


def _impulse_noise(x: np.ndarray, rng: np.random.Generator, level: int):
  share = (0.01, 0.02, 0.03, 0.05, 0.07)[level]
  hit, salt = rng.random(x.shape) <= share, rng.random(x.shape) <= 0.5
  return np.where(hit, salt, x)


def _defocus_blur(x: np.ndarray, rng: np.random.Generator, level: int):
  radius, softness = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))[
    level
  ]
  side = np.arange(-8, 9)
  disk = (side[:, None] ** 2 + side**2 <= radius**2).astype(np.float64)
  tap = np.exp(-0.5 * (np.arange(-1, 2) / softness) ** 2)
  kernel = ndimage.convolve(disk / disk.sum(), np.outer(tap, tap))
  kernel /= tap.sum() ** 2
  return ndimage.correlate(x, kernel[..., None], mode='mirror')


def _zoom_blur(x: np.ndarray, rng: np.random.Generator, level: int):
  end = (1.06, 1.11, 1.16, 1.21, 1.26)[level]
  # As in the published code: rounding makes the first list include its end.
  factors = np.arange(1, end, 0.01)
  total = x + sum(_zoomed(x, factor) for factor in factors)
  return total / (len(factors) + 1)


def _zoomed(x: np.ndarray, factor: float) -> np.ndarray:
  """Enlarges the center of an image to the size of the image."""
  sides = np.array(x.shape[:2])
  inner = np.ceil(sides / factor).astype(int)
  top, left = (sides - inner) // 2
  middle = x[top : top + inner[0], left : left + inner[1]]
  large = ndimage.zoom(middle, (factor, factor, 1), order=1)
  top, left = (np.array(large.shape[:2]) - sides) // 2
  return large[top : top + sides[0], left : left + sides[1]]


def _brightness(x: np.ndarray, rng: np.random.Generator, level: int):
  more = (0.05, 0.1, 0.15, 0.2, 0.3)[level]
  # HSV's value is the largest channel; hue and saturation do not change.
  value = x.max(axis=2, keepdims=True)
  raised = np.minimum(value + more, 1)
  return np.where(value > 0, x * raised / np.maximum(value, 1e-12), raised)


def _contrast(x: np.ndarray, rng: np.random.Generator, level: int):
  share = (0.75, 0.5, 0.4, 0.3, 0.15)[level]
  mean = x.mean(axis=(0, 1))
  return (x - mean) * share + mean


def _elastic_transform(x: np.ndarray, rng: np.random.Generator, level: int):
  strength, smoothness, shift = (
    (0.0, 0.0, 0.08),
    (0.05, 0.2, 0.07),
    (0.08, 0.06, 0.06),
    (0.1, 0.04, 0.05),
    (0.1, 0.03, 0.03),
  )[level]
  height, width = x.shape[:2]
  side = min(height, width)
  bent = _sheared(x, rng, shift * side)

  def offset() -> np.ndarray:
    noise = rng.uniform(-1, 1, (height, width))
    smooth = ndimage.gaussian_filter(noise, smoothness * side, truncate=3)
    return smooth * strength * side

  columns, rows = offset(), offset()
  place = np.indices((height, width)) + np.stack([rows, columns])
  return np.stack(
    [
      ndimage.map_coordinates(bent[..., c], place, order=1, mode='reflect')
      for c in range(3)
    ],
    axis=2,
  )


def _sheared(x: np.ndarray, rng: np.random.Generator, shift: float):
  """Applies the affine map that moves three points by up to `shift` pixels."""
  middle = np.array(x.shape[:2]) // 2
  arm = min(x.shape[:2]) // 3
  start = middle + np.array([[arm, arm], [arm, -arm], [-arm, -arm]])
  end = start + rng.uniform(-shift, shift, start.shape)
  # From output to input coordinates.
  back = np.linalg.solve(np.c_[end, np.ones(3)], start)
  return np.stack(
    [
      ndimage.affine_transform(
        x[..., c], back[:2].T, back[2], order=1, mode='mirror'
      )
      for c in range(3)
    ],
    axis=2,
  )


def _pixelate(x: np.ndarray, rng: np.random.Generator, level: int):
  share = (0.95, 0.9, 0.85, 0.75, 0.65)[level]
  image = _image(x)
  small = image.resize(
    (int(image.width * share), int(image.height * share)), Image.Resampling.BOX
  )
  return np.asarray(small.resize(image.size, Image.Resampling.BOX)) / 255.0


def _jpeg_compression(x: np.ndarray, rng: np.random.Generator, level: int):
  stream = io.BytesIO()
  _image(x).save(stream, 'JPEG', quality=(80, 65, 58, 50, 40)[level])
  return np.asarray(Image.open(stream)) / 255.0


def _image(x: np.ndarray) -> Image.Image:
  return Image.fromarray(np.round(x * 255).astype(np.uint8))


_ALL: dict[str, _Corruption] = {
  'gaussian_noise': _gaussian_noise,
  'shot_noise': _shot_noise,
  'impulse_noise': _impulse_noise,
  'defocus_blur': _defocus_blur,
  'zoom_blur': _zoom_blur,
  'brightness': _brightness,
  'contrast': _contrast,
  'elastic_transform': _elastic_transform,
  'pixelate': _pixelate,
  'jpeg_compression': _jpeg_compression,
}
NAMES = tuple(_ALL)
