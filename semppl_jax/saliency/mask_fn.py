"""Mask functions: a detector or a mask network, and a threshold.

A maker is plain values, as in `masks.json`: a detector or network, its settings
and version. `make_mask_fn` turns it into a function, in any process. To add a
kind of maker: a function beside `detector_maker`, a branch in
`make_saliency_fn`, and a flag of the program.
"""

from collections.abc import Callable
import functools
import os

import numpy as np

from semppl_jax.data.masks import Maker
from semppl_jax.saliency import detectors

# Raised when the maps of the same network change.
_NETWORK_VERSION = 1
# From uint8 [H, W, 3] to [H, W], of float32 in [0, 1] or of bool.
ImageFn = Callable[[np.ndarray], np.ndarray]


def detector_maker(name: str, threshold: float) -> Maker:
  """Returns the maker of a hand-crafted detector.

  Args:
    name: of `detectors.NAMES`.
    threshold: values above it are foreground, in [0, 1).

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


def network_maker(path: str, threshold: float) -> Maker:
  """Returns the maker of a mask network.

  Args:
    path: the file that `--train_network` wrote; every process that makes masks
      must see it there.
    threshold: as `detector_maker`.

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


def make_mask_fn(maker: Maker) -> ImageFn:
  """Returns the function from an image to its mask, true on the foreground.

  Raises:
    ValueError: the file of a network has changed.
  """
  saliency_of, threshold = make_saliency_fn(maker), maker['threshold']
  return lambda image: saliency_of(image) > threshold


def make_saliency_fn(maker: Maker) -> ImageFn:
  """Returns the function to the map before the threshold, in [0, 1]."""
  if 'network' in maker:
    return _load_network(maker['network'], maker['hash'])
  name = maker['detector']
  return lambda image: detectors.detect(image, [name])[name]


def is_same(one: Maker, other: Maker) -> bool:
  """Returns True if two makers are equal but for a network's path."""
  return {**one, 'network': None} == {**other, 'network': None}


def _check_threshold(threshold: float) -> None:
  if not 0 <= threshold < 1:
    raise ValueError(f'--threshold={threshold} must be at least 0 and below 1.')


@functools.lru_cache(1)  # One compilation for many shards.
def _load_network(path: str, fingerprint: str) -> ImageFn:
  from semppl_jax.saliency import network_io

  if network_io.fingerprint(path) != fingerprint:
    raise ValueError(
      f'--network={path} has changed since the first masks; name another --out.'
    )
  return network_io.load_detector(path)
