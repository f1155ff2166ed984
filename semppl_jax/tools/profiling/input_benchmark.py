"""Cost per image of each stage of the input pipeline."""

from collections.abc import Callable, Iterator, Mapping
import itertools
import time
from typing import NamedTuple

import jax

from semppl_jax.config import loading
from semppl_jax.data import pipeline
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.tables import markdown
from semppl_jax.training.experiment import Experiment

_WARMUP = 2  # Steps that fill buffers.
_MIN_STEPS = 3
_DECODED = 256  # Images that are decoded again and again.
# Shuffling copies each record whatever the size of the buffer, and filling a
# large one would take longer than the benchmark.
_SHUFFLE_GIB = 0.01


class Cost(NamedTuple):
  """CPU seconds over all cores, seconds, and number of measured images."""

  cpu: float
  wall: float
  images: int


def measure(experiment: Experiment, seconds: float) -> dict[str, Cost]:
  """Returns the cost of an image up to each stage, of a host's pipeline.

  Raises:
    ValueError: the data cannot be read.
  """
  config = loading.copy(experiment.config)
  config.data.shuffle_gib = min(config.data.shuffle_gib, _SHUFFLE_GIB)
  data = config, experiment.splits.train, experiment.subset

  def until(stage: str) -> Iterator[object]:
    return pipeline.train_stage(*data, stage, support=experiment.method.support)

  def batches() -> Iterator[pipeline.HostBatch]:
    return pipeline.train_batches(*data, support=experiment.method.support)

  def on_devices() -> Iterator[object]:
    for host in batches():
      yield jax.block_until_ready(
        mesh_lib.to_global(experiment.mesh, host.batch)
      )

  stages: dict[str, Callable[[], Iterator[object]]] = {
    'read': lambda: until('read'),
    'decode': lambda: until('decode'),
    'crops, flips, masks': lambda: until('crops'),
    'batch': batches,
    'transfer': on_devices,
  }
  rows = config.batch_size + _support_rows(experiment)
  return {name: cost_of(make(), rows, seconds) for name, make in stages.items()}


def decoding_alone(experiment: Experiment, seconds: float) -> Cost:
  """Returns the cost of an image in the decoder, without a pipeline.

  Raises:
    ValueError: none of the sampled images can be read.
  """
  from semppl_jax.data.tf import decode
  from semppl_jax.data.tf.runtime import tf
  from semppl_jax.saliency import shards

  train = experiment.splits.train
  piece = shards.make_shard(train, shards.evenly_spaced(train.size, _DECODED))
  images = zip(piece.places, shards.read_images(piece), strict=True)
  contents = [
    tf.constant(shards.read_encoded(place, piece.key))
    for place, image in images
    if image is not None
  ]
  if not contents:
    raise ValueError(f'None of {len(piece.places)} images can be read.')
  decoded = map(decode.decode_image, itertools.cycle(contents))
  return cost_of(decoded, 1, seconds)


def table(costs: Mapping[str, Cost]) -> str:
  """Returns a Markdown table of the cost of each stage, and of all up to it."""
  lines = [
    ['stage', 'CPU ms per image', 'all so far', 'images/s per core', 'images/s']
  ]
  before = 0.0
  for name, cost in costs.items():
    lines.append(
      [
        name,
        f'{1e3 * max(cost.cpu - before, 0):.2f}',
        f'{1e3 * cost.cpu:.2f}',
        f'{1 / cost.cpu:,.0f}',
        f'{1 / cost.wall:,.0f}',
      ]
    )
    before = cost.cpu
  return markdown(lines)


def cost_of(stream: Iterator[object], rows: int, seconds: float) -> Cost:
  """Returns the cost of an image of an endless stream of batches.

  Args:
    stream: the stream.
    rows: images of a batch.
    seconds: minimal duration of the measurement.
  """
  next(itertools.islice(stream, _WARMUP, None))
  wall, cpu = time.monotonic(), time.process_time()
  steps = 0
  while steps < _MIN_STEPS or time.monotonic() - wall < seconds:
    next(stream)
    steps += 1
  images = steps * rows
  return Cost(
    (time.process_time() - cpu) / images,
    (time.monotonic() - wall) / images,
    images,
  )


def _support_rows(experiment: Experiment) -> int:
  support = experiment.config.support
  if not experiment.method.support:
    return 0
  return support.classes_per_batch * support.images_per_class
