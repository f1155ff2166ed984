"""Bilinear resize, one pixel at a time."""

import numpy as np


def slow_resize(pixels, size):
  """Bilinear, half-pixel centers, edges clamped, one pixel at a time."""
  height, width, channels = pixels.shape
  out = np.zeros((size, size, channels))
  for i in range(size):
    for j in range(size):
      y = max((i + 0.5) * height / size - 0.5, 0)
      x = max((j + 0.5) * width / size - 0.5, 0)
      y0, x0 = min(int(y), height - 1), min(int(x), width - 1)
      y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
      dy, dx = y - y0, x - x0
      out[i, j] = (
        pixels[y0, x0] * (1 - dy) * (1 - dx)
        + pixels[y0, x1] * (1 - dy) * dx
        + pixels[y1, x0] * dy * (1 - dx)
        + pixels[y1, x1] * dy * dx
      )
  return out
