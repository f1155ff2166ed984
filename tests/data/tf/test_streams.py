"""Order of images in streams of files and of records."""

import itertools
import pathlib

import numpy as np
import pytest

from semppl_jax.data import dataset, labels, pipeline
from semppl_jax.data.batch_layout import Stream
from semppl_jax.data.tf import streams
from tests.helpers.image_sets import write_records
from tests.helpers.train_steps import assert_same, steps


@pytest.mark.parametrize(('size', 'rows'), [(10, 4), (3, 8)])
def test_files_are_shown_once_an_epoch_at_any_step(size, rows):
  population = np.arange(size, dtype=np.int32) * 3
  stream = Stream(population, np.arange(rows), 1)
  order = streams.file_order(stream, 0)
  shown = np.concatenate([order(step) for step in range(size)])
  epochs = shown.reshape(rows, size)
  np.testing.assert_array_equal(np.sort(epochs), [population] * rows)
  assert (epochs != epochs[0]).any()
  fresh = streams.file_order(stream, 0)(size - 1)
  np.testing.assert_array_equal(fresh, shown[-rows:])
  for other, seed in ((stream._replace(number=2), 0), (stream, 1)):
    another = [streams.file_order(other, seed)(n) for n in range(size)]
    assert (np.concatenate(another) != shown).any()


@pytest.mark.parametrize(
  ('files', 'rows', 'count'),
  [(4, 16, 2), (4, 32, 4), (3, 48, 2), (4, 12, 1), (1000, 4096, 64)],
)
def test_readers_are_a_power_of_two(files, rows, count):
  assert streams.reader_count(files, rows, 8) == count


def test_readers_share_records_evenly(config, tmp_path):
  config.data.kind = 'tfrecord'
  config.data.path = write_records(tmp_path, (30, 3, 9, 6))
  config.batch_size = 48
  # Three readers would fit the rows; two is the power of two.
  rows = np.stack([s.batch.index for s in steps(config, 2)])
  np.testing.assert_array_equal(np.sort(rows), np.tile(np.arange(48), (2, 1)))
  halves = rows.reshape(2, 2, 24)
  assert (halves[:, 0] < 24).all() and (halves[:, 1] >= 24).all()


@pytest.mark.parametrize('start', [0, 5])
def test_records_that_fit_in_memory_are_read_once(config, tmp_path, start):
  config.data.kind = 'tfrecord'
  config.data.path = write_records(tmp_path, (30, 3, 9, 6))
  config.batch_size = 48  # As many rows as images, of two readers.
  source = dataset.load(config.data).train.source
  fits_once, fits_twice = (
    (times * 48 + 2) * source.mean_bytes / 2**30 for times in (1, 2)
  )
  config.data.shuffle_gib = fits_once
  again = steps(config, 4, start)
  config.data.shuffle_gib = fits_twice
  assert_same(again, steps(config, 4, start))
  splits = dataset.load(config.data)
  subset = labels.select(config.data, splits.train)
  stream = pipeline.train_batches(
    config, splits.train, subset, start_step=start
  )
  first = next(stream)
  for file in {shard.file for shard in source.shards}:
    pathlib.Path(file).unlink()
  assert_same(again, [first, *itertools.islice(stream, 3)])
