"""What makes a mask of an image: a detector now, a network once there is one.

A maker is plain values, as `masks.json` has them: what to run, with its
settings and version. `make` turns it into a function, in any process. For
another kind of maker, add a function beside `of_detector`, an entry of `_KINDS`
under the field that this kind alone has, and a flag of the program.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from semppl_jax.saliency import detectors

# Raised when the maps of a detector change: masks of two are not mixed.
_DETECTORS_VERSION = 1
Maker = dict[str, Any]
Mask = Callable[[np.ndarray], np.ndarray]


def of_detector(name: str, threshold: float) -> Maker:
  """Returns the maker of a hand-crafted detector.

  Args:
    name: of `detectors.NAMES`.
    threshold: what is above it is foreground, in [0, 1).

  Raises:
    ValueError: unknown name, or a threshold out of range.
  """
  if name not in detectors.NAMES:
    raise ValueError(
      f'--detector={name} must be one of {", ".join(detectors.NAMES)}.'
    )
  if not 0 <= threshold < 1:
    raise ValueError(f'--threshold={threshold} must be at least 0 and below 1.')
  return {
    'detector': name,
    'threshold': threshold,
    'version': _DETECTORS_VERSION,
  }


def make(maker: Mapping[str, Any]) -> Mask:
  """Returns the function from an image to its mask.

  Args:
    maker: from `of_detector`.

  Returns:
    From uint8 [H, W, 3] to bool [H, W], true on the foreground.
  """
  kind = next(kind for kind in _KINDS if kind in maker)
  return _KINDS[kind](maker)


def _detector(maker: Mapping[str, Any]) -> Mask:
  name, threshold = maker['detector'], maker['threshold']
  return lambda image: detectors.detect(image, [name])[name] > threshold


_KINDS: dict[str, Callable[[Mapping[str, Any]], Mask]] = {
  'detector': _detector,
}
