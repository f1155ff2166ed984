"""Generates a store of masks by a distributed Apache Beam pipeline.

The unit of work is a shard, as for the workers of one machine, and the same
function writes it; so any runner writes the same bytes, and continues where
another stopped. All workers must see the images, the store and this package.
"""

# Beam is an extra, which the environment of the tests lacks.
# pyright: reportMissingImports=false

from collections.abc import Iterable, Sequence
import importlib.util
import os

import jax

from semppl_jax.data.masks import Maker, StoreInfo
from semppl_jax.saliency import generate, shards as shards_lib
from semppl_jax.saliency.shards import ImageShard, ShardCounts

_SHARDS = 'pieces.jsonl'


def check_installed(runner: str) -> None:
  """Checks that Beam is installed.

  Raises:
    ValueError: it is not.
  """
  if importlib.util.find_spec('apache_beam') is None:
    raise ValueError(
      f"--runner={runner} needs Apache Beam: pip install 'semppl_jax[beam]'."
    )


def make_all(
  folder: str,
  info: StoreInfo,
  shards: Sequence[ImageShard],
  runner: str,
  arguments: Sequence[str],
) -> None:
  """Makes the missing files of all shards, and finishes the store.

  Args:
    folder: the store.
    info: from `generate.begin`.
    shards: from `shards.split_dataset`.
    runner: name of a Beam runner, such as `DirectRunner`.
    arguments: flags of Beam's pipeline and of that runner.

  Raises:
    ValueError: Beam does not know the runner.
  """
  import apache_beam as beam
  from apache_beam.io import ReadFromText
  from apache_beam.options.pipeline_options import PipelineOptions

  from semppl_jax.data.tf.runtime import tf

  # Through a file: runners limit the size of a pipeline's description.
  listed = os.path.join(folder, _SHARDS)
  with tf.io.gfile.GFile(listed, 'w') as stream:
    for shard in shards:
      stream.write(f'{shards_lib.to_json(shard)}\n')
  options = PipelineOptions([f'--runner={runner}', *arguments])
  with beam.Pipeline(options=options) as pipeline:
    _ = (
      pipeline
      | ReadFromText(listed)
      | beam.Reshuffle()
      | beam.Map(_make, info.maker)
      | beam.combiners.ToList()
      | beam.Map(_finish, folder, info)
    )
  tf.io.gfile.remove(listed)


def _make(line: str, maker: Maker) -> tuple[str, ShardCounts]:
  # Before the first use of a device, of which masks need none.
  jax.config.update('jax_platforms', 'cpu')
  shard = shards_lib.from_json(line)
  return shard.file, generate.make_file(shard, maker)


def _finish(
  counts: Iterable[tuple[str, ShardCounts]], folder: str, info: StoreInfo
) -> None:
  # The names of the files have the order of the shards.
  ordered = [x for _, x in sorted(counts, key=lambda pair: pair[0])]
  generate.finish(folder, info, ordered)
