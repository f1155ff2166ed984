"""Rows of streams and processes: no row is lost, whatever the counts."""

from hypothesis import given, strategies as st
import numpy as np
import pytest

from semppl_jax.data import batch_layout


@given(st.integers(1, 12), st.integers(1, 8), st.data())
def test_shares_of_all_processes_cover_each_stream_once(rows, count, data):
  batch = rows * count
  labelled = data.draw(st.integers(0, batch))
  known = np.array([True, False, True])
  streams = batch_layout.streams(batch, labelled, known)
  covered = []
  for stream in streams:
    assert stream.rows % stream.block == 0
    for process in range(count):
      own = batch_layout.process_rows(batch, process, count)
      share = batch_layout.share(stream, own)
      first = share.blocks.start * stream.block
      loaded = stream.positions[first : share.blocks.stop * stream.block]
      np.testing.assert_array_equal(
        loaded[share.keep], share.positions + own.start
      )
      covered += loaded[share.keep].tolist()
  assert sorted(covered) == list(range(batch))
  if labelled:
    first = streams[0]
    np.testing.assert_array_equal(first.population, [0, 2])
    assert first.rows == labelled
    # Spread evenly: no process has two labelled rows more than another.
    counts = np.bincount(first.positions // rows, minlength=count)
    assert np.ptp(counts) <= 1


@pytest.mark.parametrize(
  ('rows', 'block'), [(4, 4), (8, 8), (24, 8), (18, 9), (37, 37), (22, 11)]
)
def test_a_block_is_the_smallest_divisor_from_eight_on(rows, block):
  assert batch_layout.block_size(rows) == block


@pytest.mark.parametrize(
  ('labelled', 'known', 'message'),
  [
    (5, [True, False], '=5 must be between 0 and config.batch_size=4'),
    (2, [False, False], '=2 of config.batch_size=4 needs 2 labelled rows'),
    (2, [True, True], '=2 of config.batch_size=4 needs 2 unlabelled rows'),
  ],
)
def test_impossible_streams_are_named(labelled, known, message):
  with pytest.raises(ValueError, match=message):
    batch_layout.streams(4, labelled, np.array(known))


@pytest.mark.parametrize(('batch', 'count'), [(6, 4), (0, 1)])
def test_a_batch_that_cannot_be_split_is_refused(batch, count):
  with pytest.raises(ValueError, match=f'A batch of {batch} rows'):
    batch_layout.process_rows(batch, 0, count)
