"""The minimum barrier distance to an image's rim, by raster scans.

The barrier of a path is its highest minus its lowest value. The exact distance
needs a search per pair of bounds; FastMBD (Zhang et al., "Minimum barrier
salient object detection at 80 FPS", ICCV 2015, algorithm 1) keeps one path to
every pixel and improves it from its neighbours, so it is never below the exact.
"""

import numpy as np

# The paper's: forth, back, and forth.
SCANS = 3


def distances(image: np.ndarray, scans: int = SCANS) -> np.ndarray:
  """Barriers of the best paths found from the rim to every pixel [H, W, C].

  A pixel of a scan needs the one beside and the one above it, so those of an
  anti-diagonal, y + x = d, need none of each other: they are improved at once,
  and the result is that of the scan in order.

  Args:
    image: [H, W, C], float32; channels do not mix.
    scans: at least 1; the first and every other one goes down and to the right.
  """
  height, width, channels = image.shape
  y, x = np.mgrid[:height, :width]
  # One row per diagonal, by y, with an empty cell around that no path enters.
  at = y + x + 1, y + 1
  shape = height + width + 1, height + 2, channels
  value = np.zeros(shape, np.float32)
  high = np.full(shape, np.inf, np.float32)
  low = np.full(shape, -np.inf, np.float32)
  best = np.full(shape, -1, np.float32)
  rim = np.full((height, width, 1), np.inf, np.float32)
  rim[[0, -1]] = 0
  rim[:, [0, -1]] = 0
  value[at] = image
  high[at] = image + rim
  low[at] = image - rim
  best[at] = rim
  forth = range(1, height + width)
  for scan in range(scans):
    order, back = (reversed(forth), 1) if scan % 2 else (forth, -1)
    for d in order:
      for beside in (0, back):
        cells = slice(1 + beside, height + 1 + beside)
        _improve(
          value[d, 1:-1],
          (high[d, 1:-1], low[d, 1:-1], best[d, 1:-1]),
          (high[d + back, cells], low[d + back, cells]),
        )
  return best[at]


def _improve(
  value: np.ndarray,
  own: tuple[np.ndarray, np.ndarray, np.ndarray],
  neighbour: tuple[np.ndarray, np.ndarray],
) -> None:
  """Takes the neighbours' paths where they make smaller barriers, in place."""
  high = np.maximum(neighbour[0], value)
  low = np.minimum(neighbour[1], value)
  barrier = high - low
  better = barrier < own[2]
  for old, new in zip(own, (high, low, barrier), strict=True):
    np.copyto(old, new, where=better)
