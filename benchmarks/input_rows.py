"""Ways from the bytes of photographs to views, and what each of them takes."""

from collections.abc import Callable, Iterator
import io
import itertools
import math
import pathlib
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from configs import base
from semppl_jax.data import dataset, labels, pipeline
from semppl_jax.saliency.shards import evenly_spaced
from semppl_jax.tools.profiling.input_benchmark import cost_of

ALONE, PILLOW = 'decode alone', 'Pillow, antialiased bicubic'
BATCH = 40
_MOST = 500  # Files that are held in memory.
_LARGE, _SMALL = (4, 224, (0.14, 1.0)), (2, 96, (0.05, 0.14))

# The pipeline's own rows, as fields of the config.
PIPELINE = {
  'bilinear': {'views.interpolation': 'bilinear'},
  'bicubic': {'views.interpolation': 'bicubic'},
  'antialiased bilinear': {
    'views.interpolation': 'bilinear',
    'views.antialias': True,
  },
  'antialiased bicubic': {
    'views.interpolation': 'bicubic',
    'views.antialias': True,
  },
  'bicubic, scaled decoding': {
    'views.interpolation': 'bicubic',
    'data.scaled_decoding': True,
  },
  "crops='device'": {'data.crops': 'device'},
  "crops='device', scaled decoding": {
    'data.crops': 'device',
    'data.scaled_decoding': True,
  },
}
PARALLEL = ['bicubic', 'antialiased bicubic', "crops='device'"]


def measure(
  names: list[str], data_dir: str, cores: int, seconds: float
) -> dict[str, float]:
  """Returns milliseconds per image of each row.

  Args:
    names: of `ROWS`.
    data_dir: a folder of images for each class.
    cores: that this process has.
    seconds: of each measurement, at least.
  """
  milliseconds = {}
  for name in names:
    stream, images = ROWS[name](data_dir, cores)
    milliseconds[name] = 1e3 * cost_of(stream, images, seconds).wall
  return milliseconds


def _pipeline(fields: dict[str, Any]) -> Callable[..., Any]:
  def make(data_dir: str, cores: int) -> tuple[Iterator[Any], int]:
    config = base.get_config()
    config.batch_size = BATCH
    config.data.update(kind='folder', path=data_dir, labels='all')
    config.data.threads = cores
    config.update_from_flattened_dict(fields)
    train = dataset.load(config.data).train
    subset = labels.select(config.data, train)
    return pipeline.train_batches(config, train, subset), BATCH

  return make


def _decode(data_dir: str, cores: int) -> tuple[Iterator[Any], int]:
  from semppl_jax.data.tf.decode import decode_image
  from semppl_jax.data.tf.runtime import tf

  del cores
  contents = [tf.constant(x) for x in _contents(data_dir)]
  return map(decode_image, itertools.cycle(contents)), 1


def _pillow(colors: bool) -> Callable[..., Any]:
  def make(data_dir: str, cores: int) -> tuple[Iterator[Any], int]:
    del cores
    rng = np.random.default_rng(0)
    contents = itertools.cycle(_contents(data_dir))
    return (_pillow_views(x, rng, colors) for x in contents), 1

  return make


def _contents(data_dir: str) -> list[bytes]:
  files = sorted(x for x in pathlib.Path(data_dir).rglob('*') if x.is_file())
  return [files[x].read_bytes() for x in evenly_spaced(len(files), _MOST)]


def _pillow_views(
  content: bytes, rng: np.random.Generator, colors: bool
) -> list[np.ndarray]:
  image = Image.open(io.BytesIO(content)).convert('RGB')
  views = []
  for count, size, area in (_LARGE, _SMALL):
    for _ in range(count):
      view = image.resize(
        (size, size), Image.Resampling.BICUBIC, box=_box(image.size, area, rng)
      )
      if rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
      views.append(np.asarray(_color_jitter(view, rng) if colors else view))
  return views


def _box(
  size: tuple[int, int], area: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
  width, height = size
  for _ in range(10):
    share = rng.uniform(*area) * width * height
    aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
    w, h = round(math.sqrt(share * aspect)), round(math.sqrt(share / aspect))
    if 0 < w <= width and 0 < h <= height:
      left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
      return int(left), int(top), int(left) + w, int(top) + h
  return 0, 0, width, height


def _color_jitter(view: Image.Image, rng: np.random.Generator) -> Image.Image:
  """Jitter without hue, grey and blur, as often as in the config."""
  if rng.random() < 0.8:
    for kind, strength in (
      (ImageEnhance.Brightness, 0.4),
      (ImageEnhance.Contrast, 0.4),
      (ImageEnhance.Color, 0.2),
    ):
      view = kind(view).enhance(rng.uniform(1 - strength, 1 + strength))
  if rng.random() < 0.2:
    view = view.convert('L').convert('RGB')
  if rng.random() < 0.55:
    view = view.filter(ImageFilter.GaussianBlur(rng.uniform(0.1, 2.0)))
  return view


ROWS: dict[str, Callable[[str, int], tuple[Iterator[Any], int]]] = {
  ALONE: _decode,
  **{name: _pipeline(fields) for name, fields in PIPELINE.items()},
  PILLOW: _pillow(colors=False),
  'Pillow, and colors': _pillow(colors=True),
}
