"""What makes a mask of an image: a detector, or a mask network.

A maker is plain values, as `masks.json` has them: what to run, with its
settings and version. `make` turns it into a function, in any process. For
another kind of maker, add a function beside `of_detector`, an entry of `_KINDS`
under the field that this kind alone has, and a flag of the program.
"""

from collections.abc import Callable, Mapping
import functools
import os
from typing import Any

import numpy as np

from semppl_jax.saliency import detectors

# Raised when the maps of the same network change.
_NETWORK_VERSION = 1
Maker = dict[str, Any]
# From uint8 [H, W, 3] to [H, W], of float32 in [0, 1] or of bool.
Map = Callable[[np.ndarray], np.ndarray]


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
  _check_threshold(threshold)
  return {
    'detector': name,
    'threshold': threshold,
    'version': detectors.VERSION,
  }


def of_network(path: str, threshold: float) -> Maker:
  """Returns the maker of a mask network.

  Args:
    path: the file that `--train_network` wrote; every process that makes masks
      must see it there.
    threshold: as `of_detector`.

  Raises:
    ValueError: no such network, or a threshold out of range.
  """
  from semppl_jax.saliency import network_io

  _check_threshold(threshold)
  network_io.read(path)
  return {
    'network': os.path.abspath(path),
    'hash': network_io.fingerprint(path),
    'threshold': threshold,
    'version': _NETWORK_VERSION,
  }


def make(maker: Mapping[str, Any]) -> Map:
  """Returns the function from an image to its mask.

  Args:
    maker: from `of_detector` or `of_network`.

  Returns:
    From uint8 [H, W, 3] to bool [H, W], true on the foreground.

  Raises:
    ValueError: the file of a network has changed.
  """
  found, threshold = saliency(maker), maker['threshold']
  return lambda image: found(image) > threshold


def saliency(maker: Mapping[str, Any]) -> Map:
  """As `make`, for the map [H, W], float32 in [0, 1], before the threshold."""
  kind = next(kind for kind in _KINDS if kind in maker)
  return _KINDS[kind](maker)


def _check_threshold(threshold: float) -> None:
  if not 0 <= threshold < 1:
    raise ValueError(f'--threshold={threshold} must be at least 0 and below 1.')


def _detector(maker: Mapping[str, Any]) -> Map:
  name = maker['detector']
  return lambda image: detectors.detect(image, [name])[name]


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
  """Whether two makers make the same masks, wherever a network's file is."""
  return {**one, 'network': None} == {**other, 'network': None}


def _network(maker: Mapping[str, Any]) -> Map:
  return _loaded(maker['network'], maker['hash'])


@functools.lru_cache(1)  # For many pieces, one compilation.
def _loaded(path: str, fingerprint: str) -> Map:
  from semppl_jax.saliency import network_io, predict

  if network_io.fingerprint(path) != fingerprint:
    raise ValueError(
      f'--network={path} has changed since the masks were begun; name another'
      ' --out.'
    )
  return predict.load(path)


_KINDS: dict[str, Callable[[Mapping[str, Any]], Map]] = {
  'detector': _detector,
  'network': _network,
}
