"""Table of hand-crafted saliency detectors. None of them needs a label.

A new one is a function from a `Scene` to the saliency of its regions [R], in
any unit, and a line here.

Constants that are called choices, here and in the detectors, were made on 98
images of PASCAL-S; figures on these favor them a little.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from semppl_jax.saliency.absorbing_markov import absorption
from semppl_jax.saliency.background import boundary
from semppl_jax.saliency.image import check_image, make_scene, resize, Scene
from semppl_jax.saliency.minimum_barrier import barrier
from semppl_jax.saliency.postprocess import contrast, guided_filter, normalize

# Raised when the maps of a detector change: masks of two versions are not
# mixed.
VERSION = 1
DETECTORS: Mapping[str, Callable[[Scene], np.ndarray]] = {
  'boundary': boundary,
  'barrier': barrier,
  'absorption': absorption,
}
# Beside them: the mean of all, and a blob at the center as a baseline.
NAMES = (*DETECTORS, 'mean', 'centre')
# A choice: the width of the blob, in image sides.
CENTER_WIDTH = 0.25
# A choice: half of a just noticeable difference in Lab. A plainer image shows
# nothing, and scaling its noise to [0, 1] would make a mask of it.
VISIBLE = 1.0


def detect(
  image: np.ndarray, names: Iterable[str] = NAMES
) -> dict[str, np.ndarray]:
  """Returns saliency maps of an image, by detector.

  Superpixels are computed once for all. The same image has the same maps.

  Args:
    image: [H, W, 3], uint8, sRGB, of any size from one pixel on.
    names: of `NAMES`.

  Returns:
    Maps [H, W], float32 in [0, 1]; zero where no difference is visible.

  Raises:
    ValueError: an unknown name, or an array that is not an image.
  """
  names = tuple(names)
  for name in names:
    if name not in NAMES:
      raise ValueError(
        f'Saliency detector {name!r} must be one of {", ".join(NAMES)}.'
      )
  check_image(image)
  shape = image.shape[:2]
  maps = {'centre': center_blob(shape)} if 'centre' in names else {}
  if set(names) - {'centre'}:
    scene = make_scene(image)
    values = _values(scene, names)
    maps |= {name: _draw(scene, values[name], shape) for name in values}
  return {name: maps[name] for name in names}


def center_blob(shape: tuple[int, ...]) -> np.ndarray:
  """Returns a Gaussian blob at the center [H, W], float32 in [0, 1]."""
  y, x = ((np.arange(side) + 0.5) / side - 0.5 for side in shape)
  blob = np.exp(-(y[:, None] ** 2 + x**2) / (2 * CENTER_WIDTH**2))
  return blob.astype(np.float32)


def _values(scene: Scene, names: Iterable[str]) -> dict[str, np.ndarray]:
  """Returns values of the regions [R] by detectors or their mean."""
  wanted = DETECTORS if 'mean' in names else set(names) & set(DETECTORS)
  values = {name: normalize(DETECTORS[name](scene)) for name in wanted}
  if 'mean' in names:
    values['mean'] = np.mean(list(values.values()), axis=0)
  return {name: values[name] for name in names if name in values}


def _draw(
  scene: Scene, values: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
  """Returns the map [H, W] of values of the regions [R]."""
  superpixels = scene.superpixels
  if np.ptp(superpixels.color, axis=0).max() < VISIBLE:
    return np.zeros(shape, np.float32)
  values = contrast(values, superpixels.area).astype(np.float32)
  small = guided_filter(scene.lab[..., 0] / 100, values[superpixels.labels])
  return np.clip(resize(small, shape), 0, 1)
