r"""Measures accuracy and speed of the saliency detectors.

  python benchmarks/saliency.py --data_dir=DIR --out=runs/saliency.json \
    [--network=FILE]

DIR holds images/N.jpg and masks/N.png, as PASCAL-S (Li et al., "The secrets of
salient object segmentation", CVPR 2014); above 127 in a mask means salient.
Prints a Markdown table: maximal F-measure (β² = 0.3) of the set-averaged curve,
mean absolute error, and milliseconds of one core per image, from the decoded
image to a map of its size, superpixels included.
"""

import os

# Threads of the linear algebra would count as time of the one core.
os.environ['OPENBLAS_NUM_THREADS'] = '1'
os.environ['OMP_NUM_THREADS'] = '1'
os.environ['MKL_NUM_THREADS'] = '1'
os.environ['VECLIB_MAXIMUM_THREADS'] = '1'

from collections.abc import Callable
import functools
import json
import pathlib
import time
from typing import NamedTuple

from absl import app, flags
import numpy as np
from PIL import Image
import saliency_metrics

from semppl_jax.runtime.tables import markdown
from semppl_jax.saliency import network_io
from semppl_jax.saliency.detectors import detect, NAMES

_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Directory of images/N.jpg and masks/N.png.', required=True
)
_OUT = flags.DEFINE_string('out', None, 'JSON file to write the figures to.')
_NETWORK = flags.DEFINE_string(
  'network', None, 'Also evaluate this file of --train_network.'
)
_REPEATS = flags.DEFINE_integer(
  'repeats', 3, 'Times each image is timed; the shortest counts.', lower_bound=1
)

# A map [H, W] of an image [H, W, 3].
_Detector = Callable[[np.ndarray], np.ndarray]


class Pair(NamedTuple):
  """An image and its salient pixels.

  Attributes:
    image: [H, W, 3], uint8.
    truth: [H, W], bool.
  """

  image: np.ndarray
  truth: np.ndarray


def main(_) -> None:
  """Evaluates every row on every image."""
  pairs = load(pathlib.Path(_DATA_DIR.value))
  figures = {}
  for name, detector in rows(_NETWORK.value).items():
    figures[name] = evaluate(detector, pairs, _REPEATS.value)
  print(table(figures))
  if _OUT.value:
    out = pathlib.Path(_OUT.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=2) + '\n')


def rows(network: str | None) -> dict[str, _Detector]:
  """Returns the detectors by the names of their rows."""
  detectors: dict[str, _Detector] = {
    name: functools.partial(_one, name=name) for name in NAMES
  }
  if network:
    detectors['network'] = network_io.load_detector(network)
  return detectors


def _one(image: np.ndarray, name: str) -> np.ndarray:
  return detect(image, [name])[name]


def load(folder: pathlib.Path) -> list[Pair]:
  """Reads all images with their masks, by name.

  Raises:
    ValueError: no image, or a mask that is not there.
  """
  images = sorted(folder.glob('images/*.jpg'))
  masks = [folder / 'masks' / f'{path.stem}.png' for path in images]
  missing = [str(path) for path in masks if not path.exists()]
  if not images or missing:
    raise ValueError(
      f'--data_dir={folder} must hold images/N.jpg and masks/N.png, and has '
      f'{len(images)} images, of which {len(missing)} have no mask.'
    )
  return [
    Pair(
      np.asarray(Image.open(image).convert('RGB')),
      np.asarray(Image.open(mask).convert('L')) > 127,
    )
    for image, mask in zip(images, masks, strict=True)
  ]


def evaluate(detector: _Detector, pairs: list[Pair], repeats: int) -> dict:
  """Figures of one detector: max_f, error, images and milliseconds."""
  detector(pairs[0].image)  # The first call imports what it needs.
  maps, seconds = [], []
  for pair in pairs:
    timed = [_timed(detector, pair.image) for _ in range(repeats)]
    maps.append(timed[0][0])
    seconds.append(min(second for _, second in timed))
  truths = (pair.truth for pair in pairs)
  accuracy = saliency_metrics.score(zip(maps, truths, strict=True))
  return accuracy._asdict() | {'milliseconds': 1e3 * float(np.mean(seconds))}


def _timed(detector: _Detector, image: np.ndarray) -> tuple[np.ndarray, float]:
  # Of the processor, not of the clock: other programs may run beside.
  start = time.process_time()
  saliency = detector(image)
  return saliency, time.process_time() - start


def table(figures: dict[str, dict]) -> str:
  """Returns a Markdown table of the figures."""
  lines = [['', 'max F', 'mean absolute error', 'ms per image']]
  for name, row in figures.items():
    lines.append(
      [
        name,
        f'{row["max_f"]:.3f}',
        f'{row["error"]:.3f}',
        f'{row["milliseconds"]:.0f}',
      ]
    )
  return markdown(lines)


if __name__ == '__main__':
  app.run(main)
