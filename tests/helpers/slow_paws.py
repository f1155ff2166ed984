"""PAWS's loss in NumPy loops, written from the paper (arXiv 2104.13963)."""

import numpy as np


def soft_neighbors(config, query, support, column):
  """Soft neighbors of one query among all views of the supports."""
  classes, e = config.support.classes_per_batch, config.paws.label_smoothing
  total = np.zeros(classes)
  for images, own in zip(support, column, strict=True):
    for z in images:
      cosine = query @ z / np.linalg.norm(query) / np.linalg.norm(z)
      weight = np.exp(cosine / config.paws.temperature)
      for k in range(classes):
        total[k] += weight * (e / classes + (1 - e if k == own else 0))
  return total / np.sum(total)


def loss(config, online, frozen, column):
  """Section 3 of the paper; the targets are those of `frozen`."""
  p, head = config.paws, 'prediction' if config.paws.predictor else 'projection'
  sharpen = lambda x: x ** (1 / p.sharpening) / sum(x ** (1 / p.sharpening))
  views, support = getattr(online, head), getattr(online.support, head)
  each, sharp = [], []
  for anchors, fixed in zip(views, frozen.projection, strict=True):
    first, second = (
      sharpen(soft_neighbors(config, z, frozen.support.projection, column))
      for z in fixed[:2]
    )
    for i, z in enumerate(anchors):
      p_view = soft_neighbors(config, z, support, column)
      target = [second, first][i] if i < 2 else (first + second) / 2
      target = np.where(target < 1e-4, 0, target)
      each.append(-np.sum(target * np.log(p_view)))
      sharp.append(sharpen(p_view))
  mean = np.mean(sharp, axis=0)
  return np.mean(each) + (np.sum(mean * np.log(mean)) if p.me_max else 0.0)
