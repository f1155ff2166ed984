"""Images and scenes to look for salient objects in."""

import numpy as np

from semppl_jax.saliency.image import describe, Scene


def disc(height=60, width=80, y=28, x=36, radius=13, seed=0):
  """A bright disc on dull ground, and where it is [H, W], bool."""
  rows, columns = np.mgrid[:height, :width]
  inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
  image = np.where(inside[..., None], (230, 180, 40), (60, 80, 110))
  noise = np.random.default_rng(seed).integers(-6, 7, image.shape)
  return np.clip(image + noise, 0, 255).astype(np.uint8), inside


def random_scene(seed, rows=4, columns=5, side=6):
  """A grid of regions of random colors, each of `side` x `side` pixels."""
  rng = np.random.default_rng(seed)
  labels = np.arange(rows * columns).reshape(rows, columns)
  labels = labels.repeat(side, 0).repeat(side, 1)
  lab = rng.uniform((0, -30, -30), (100, 30, 30), (rows * columns, 3))
  lab = lab[labels] + rng.normal(size=(*labels.shape, 3))
  return Scene(lab.astype(np.float32), describe(lab, labels))
