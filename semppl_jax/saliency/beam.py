"""The same store, made by a distributed engine: an Apache Beam pipeline.

The unit of work is a piece, as it is for the workers of one machine, and it is
written by the same function; so any runner writes the same bytes, and goes on
where another stopped. Images, store and this package must be where all
workers see them.
"""

# Beam is an extra, which the environment of the tests has not.
# pyright: reportMissingImports=false

from collections.abc import Iterable, Sequence
import importlib.util
import os
from typing import Any

import jax

from semppl_jax.saliency import generate, shards as shards_lib
from semppl_jax.saliency.generate import Result
from semppl_jax.saliency.mask_fn import Maker
from semppl_jax.saliency.shards import Piece

_PIECES = 'pieces.jsonl'


def check(runner: str) -> None:
  """Does nothing where Beam is installed.

  Raises:
    ValueError: it is not.
  """
  if importlib.util.find_spec('apache_beam') is None:
    raise ValueError(
      f"--runner={runner} needs Apache Beam: pip install 'semppl_jax[beam]'."
    )


def make_all(
  folder: str,
  facts: Any,
  pieces: Sequence[Piece],
  runner: str,
  arguments: Sequence[str],
) -> None:
  """Makes the files of all pieces that are not there, and finishes the store.

  Args:
    folder: the store.
    facts: from `generate.begin`.
    pieces: from `shards.cut`.
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
  listed = os.path.join(folder, _PIECES)
  with tf.io.gfile.GFile(listed, 'w') as stream:
    for piece in pieces:
      stream.write(f'{shards_lib.to_json(piece)}\n')
  options = PipelineOptions([f'--runner={runner}', *arguments])
  with beam.Pipeline(options=options) as pipeline:
    _ = (
      pipeline
      | ReadFromText(listed)
      | beam.Reshuffle()
      | beam.Map(_make, facts.maker)
      | beam.combiners.ToList()
      | beam.Map(_finish, folder, facts)
    )
  tf.io.gfile.remove(listed)


def _make(line: str, maker: Maker) -> tuple[str, Result]:
  # Before the first use of a device, of which masks need none.
  jax.config.update('jax_platforms', 'cpu')
  piece = shards_lib.from_json(line)
  return piece.file, generate.make_file(piece, maker)


def _finish(
  results: Iterable[tuple[str, Result]], folder: str, facts: Any
) -> None:
  # The names of the files have the order of the pieces.
  ordered = [result for _, result in sorted(results, key=lambda x: x[0])]
  generate.finish(folder, facts, ordered)
