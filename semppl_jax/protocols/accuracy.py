"""Top-1, and above ten classes top-5, under the name of a figure."""

import numpy as np

from semppl_jax.evaluators import metrics

Figures = dict[str, float]


def accuracy(name: str, scores: np.ndarray, label: np.ndarray) -> Figures:
  """Figures in [0, 1] of scores [M, C] for classes [M]."""
  figures = {f'{name}/top1': metrics.top_k(scores, label, 1)}
  if scores.shape[1] > 10:
    figures[f'{name}/top5'] = metrics.top_k(scores, label, 5)
  return figures
