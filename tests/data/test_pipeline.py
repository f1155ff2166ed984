import itertools

import jax
import numpy as np
import pytest

from semppl_jax.data import batch_layout, dataset, labels, pipeline
from tests.helpers.image_sets import encoded, write_folder, write_records
from tests.helpers.train_steps import assert_same, joined, KINDS, steps


@pytest.mark.parametrize('labelled', [0, 6])
@pytest.mark.parametrize('any_config', KINDS, indirect=True)
def test_resume_and_process_count_change_nothing(any_config, labelled):
  c = any_config
  c.data.labelled_per_batch = labelled
  c.data.labels = 'per_class:5'
  whole = steps(c, 5)[3:]
  # Four rows of a process are half a block of rows.
  for process in (0, 3):
    rows = slice(4 * process, 4 * process + 4)
    own = [host._replace(batch=select(host.batch, rows)) for host in whole]
    assert_same(own, steps(c, 2, 3, (process, 4)))


def select(batch, rows):
  return jax.tree.map(lambda x: x[rows], batch)


def test_each_epoch_shows_every_image_once_in_a_new_order(any_config):
  # 48 images, 32 rows: an epoch ends inside the second batch.
  any_config.batch_size = 32
  rows = np.stack([s.batch.index for s in steps(any_config, 3)])
  # Each of the four files has a reader with epochs of its own.
  readers = 4 if any_config.data.kind == 'tfrecord' else 1
  streams = rows.reshape(3, readers, -1).swapaxes(0, 1).reshape(readers, 2, -1)
  for epoch in (streams[:, 0], streams[:, 1]):
    np.testing.assert_array_equal(np.sort(epoch, axis=None), np.arange(48))
    assert (epoch.ravel() != np.arange(48)).any()
  assert (streams[:, 0] != streams[:, 1]).any()


@pytest.mark.parametrize('any_config', ['folder'], indirect=True)
def test_another_seed_gives_another_order_and_other_crops(any_config):
  first = steps(any_config, 1)[0].batch
  any_config.seed += 1
  second = steps(any_config, 1)[0].batch
  assert (first.index != second.index).any()
  assert (first.large != second.large).any()


def test_labels_and_shapes(any_config):
  any_config.data.labels = 'per_class:3'
  splits = dataset.load(any_config.data)
  subset = labels.select(any_config.data, splits.train)
  for step in steps(any_config, 3):
    batch = step.batch
    assert batch.large.shape == (16, 2, 8, 8, 3)
    assert batch.small.shape == (16, 1, 4, 4, 3)
    assert batch.mask is None and batch.support is None
    assert batch.large.dtype == batch.small.dtype == np.uint8
    true = splits.train.labels[batch.index]
    known = np.isin(batch.index, subset.index)
    np.testing.assert_array_equal(batch.diagnostic_label, true)
    np.testing.assert_array_equal(batch.label, np.where(known, true, -1))


@pytest.mark.parametrize('any_config', ['folder'], indirect=True)
def test_no_small_views(any_config):
  any_config.views.small.count = 0
  assert steps(any_config, 1)[0].batch.small.shape == (16, 0, 4, 4, 3)


@pytest.mark.parametrize('any_config', ['folder'], indirect=True)
def test_labelled_rows_are_counted_and_spread(any_config):
  any_config.data.labels = 'per_class:5'
  any_config.data.labelled_per_batch = 6
  for step in steps(any_config, 3):
    known = step.batch.label >= 0
    assert known.sum() == 6
    assert [known[i : i + 4].sum() for i in range(0, 16, 4)] == [1, 2, 1, 2]


@pytest.mark.parametrize('kind', ['folder', 'tfrecord'])
def test_an_unreadable_image_moves_no_other_row(config, tmp_path, kind):
  bad = (5, 20)
  config.data.kind = kind
  config.data.shuffle_gib = 1.0  # All of it, whatever the damage saves.

  def write(path, bad):
    if kind == 'tfrecord':
      return write_records(path, bad=bad)
    root = write_folder(path, 48)
    for i in bad:
      (path / ('cat', 'dog')[i % 2] / f'{i:03}.png').write_bytes(b'')
    return root

  config.data.path = write(tmp_path / 'whole', ())
  whole = steps(config, 3)
  config.data.path = write(tmp_path / 'damaged', bad)
  damaged = steps(config, 3)
  ids = dataset.load(config.data).train.ids
  gone = [ids[row] for s in damaged for row in s.corrupt]
  assert len(gone) == 2
  assert {int(''.join(filter(str.isdigit, name))) for name in gone} == set(bad)
  for a, b in zip(whole, damaged, strict=True):
    hit = np.isin(a.batch.index, b.corrupt)
    for x, y in zip(a.batch[:5], b.batch[:5], strict=True):
      np.testing.assert_array_equal(x[~hit], y[~hit])
    for row in np.flatnonzero(hit):
      block = row // 8 * 8
      stand_in = block + (row + 1 - block) % 8
      assert b.batch.index[row] == b.batch.index[stand_in]
      np.testing.assert_array_equal(b.batch.large[row], b.batch.large[stand_in])
  # Exactly the same after a resume and on two processes.
  parts = [steps(config, 2, 1, (p, 2)) for p in range(2)]
  assert_same(damaged[1:], joined(parts))


@pytest.mark.parametrize('kind', ['folder', 'tfrecord'])
def test_a_block_without_a_readable_image_stops(config, tmp_path, kind):
  config.data.kind = kind
  if kind == 'tfrecord':
    config.data.path = write_records(tmp_path, bad=range(48))
  else:
    config.data.path = write_folder(tmp_path, 48, image=lambda *_: b'no image')
  with pytest.raises(ValueError, match='8 unreadable image'):
    steps(config, 1)


@pytest.mark.parametrize('ending', ['jpg', 'png'])
def test_every_kind_of_image_is_read(config, tmp_path, ending):
  kinds = {'jpg': ('L', 'RGB', 'CMYK'), 'png': ('L', 'P', 'RGBA', '1', 'LA')}
  kind = {'jpg': 'JPEG', 'png': 'PNG'}[ending]
  sizes = ((1, 1), (1, 40), (50, 1), (7, 9))
  good = list(itertools.product(kinds[ending], sizes))
  for i, (mode, size) in enumerate(good):
    folder = tmp_path / str(i % 2)
    folder.mkdir(exist_ok=True)
    (folder / f'{i}.{ending}').write_bytes(encoded(i, size, mode, kind))
  whole = encoded(0, (40, 40), 'RGB', kind)
  for name, content in (
    ('zero', b''),
    ('truncated', whole[: len(whole) // 2]),
    ('noise', bytes(range(256))),
  ):
    (tmp_path / '0' / f'{name}.{ending}').write_bytes(content)
  config.data.kind = 'folder'
  config.data.path = str(tmp_path)
  config.batch_size = len(good) + 3
  step = steps(config, 1)[0]
  ids = dataset.load(config.data).train.ids
  assert {ids[i].split('/')[1].split('.')[0] for i in step.corrupt} == {
    'zero',
    'truncated',
    'noise',
  }
  assert step.batch.large.shape == (len(good) + 3, 2, 8, 8, 3)


def test_masks_are_cut_with_the_image(config, tmp_path):
  config.data.kind = 'tfrecord'
  config.data.path = write_records(tmp_path, mask=True)
  config.views.large.area = (1.0, 1.0)
  config.views.large.aspect = (10 / 12, 10 / 12)
  config.views.large.size = 24
  batch = steps(config, 1)[0].batch
  assert batch.mask.shape == (16, 2, 24, 24)
  assert set(np.unique(batch.mask)) == {0, 1}
  # Image and mask are of the same noise, and the crop is the whole image.
  grey = batch.large @ np.array([0.299, 0.587, 0.114])
  assert np.corrcoef(grey.ravel(), batch.mask.ravel())[0, 1] > 0.5


@pytest.mark.parametrize('count', [1, 2])
def test_evaluation_drops_and_repeats_nothing(any_config, count):
  splits = dataset.load(any_config.data)
  wanted = np.setdiff1d(np.arange(48), [0, 7, 31])
  parts = [
    list(
      pipeline.eval_batches(
        any_config,
        splits.train,
        wanted,
        16,
        process_index=p,
        process_count=count,
      )
    )
    for p in range(count)
  ]
  assert [len(part) for part in parts] == [3] * count
  rows = [
    np.concatenate(x)
    for step in zip(*parts, strict=True)
    for x in [[b.index[b.valid] for b in step]]
  ]
  np.testing.assert_array_equal(np.concatenate(rows), wanted)
  first = parts[0][0]
  assert first.image.shape == (16 // count, 8, 8, 3)
  np.testing.assert_array_equal(first.label, splits.train.labels[first.index])
  last = parts[-1][-1]
  assert (last.index[~last.valid] == -1).all()
  assert (last.label[~last.valid] == -1).all()


@pytest.mark.parametrize('any_config', ['folder'], indirect=True)
def test_evaluation_of_padding_alone_in_a_block(any_config):
  train = dataset.load(any_config.data).train
  wanted = np.arange(20)  # Of the 16 rows of the last batch, 4 are images.
  batches = [*pipeline.eval_batches(any_config, train, wanted, 16)]
  valid = np.concatenate([batch.valid for batch in batches])
  assert valid.tolist() == [True] * 20 + [False] * 12


def jpeg(number, size):
  """One that is decoded smaller, one that is no JPEG, one cut short."""
  del size
  if number % 5 == 1:
    return encoded(number, (40, 50), kind='PNG')
  whole = encoded(number, (160, 200), kind='JPEG')
  return whole[: len(whole) // 2] if number == 12 else whole


FEW = {(16, True, True), (37, True, False), (40, False, True)}
ALL = itertools.product((16, 37, 40), (False, True), (False, True))


@pytest.mark.parametrize(
  'rows, scaled, antialias',
  [pytest.param(*x, marks=[] if x in FEW else pytest.mark.slow) for x in ALL],
)
def test_settings_of_decoding(config, tmp_path, rows, scaled, antialias):
  """Blocks of 8, and of more images than are decoded at once."""
  config.data.kind = 'folder'
  config.data.path = write_folder(tmp_path, 48, image=jpeg)
  config.batch_size = rows
  config.data.scaled_decoding, config.views.antialias = scaled, antialias
  whole = steps(config, 3)
  assert sum(len(step.corrupt) for step in whole) >= 1
  processes = 2 if rows == 16 else 1
  parts = [steps(config, 2, 1, (p, processes)) for p in range(processes)]
  assert_same(whole[1:], joined(parts))
  config.data.scaled_decoding = not scaled
  other = steps(config, 1)[0].batch
  np.testing.assert_array_equal(other.index, whole[0].batch.index)
  # Those that are no JPEG are the same.
  same = (other.large == whole[0].batch.large).all(axis=(1, 2, 3, 4))
  assert same.any() and not same.all()


@pytest.mark.parametrize('any_config', ['folder'], indirect=True)
def test_evaluation_of_nothing_has_no_batches(any_config):
  train = dataset.load(any_config.data).train
  nothing = np.zeros(0, np.int32)
  assert not list(pipeline.eval_batches(any_config, train, nothing, 16))


def test_evaluation_marks_unreadable_images(config, tmp_path):
  config.data.kind = 'tfrecord'
  config.data.path = write_records(tmp_path, bad=(3, 47))
  train = dataset.load(config.data).train
  batches = pipeline.eval_batches(config, train, np.arange(48), 16)
  valid = np.concatenate([b.valid for b in batches])
  np.testing.assert_array_equal(np.flatnonzero(~valid), [3, 47])


@pytest.mark.parametrize('any_config', ['folder'], indirect=True)
def test_evaluation_wants_ascending_indices(any_config):
  train = dataset.load(any_config.data).train
  with pytest.raises(ValueError, match='ascend'):
    next(pipeline.eval_batches(any_config, train, np.array([2, 1]), 16))


def test_bad_batches_are_named():
  known = np.array([True, False, False])
  with pytest.raises(ValueError, match=r'10 rows .* 4 processes'):
    batch_layout.process_rows(10, 0, 4)
  with pytest.raises(ValueError, match='labelled_per_batch=9 must be between'):
    batch_layout.streams(8, 9, known)
  with pytest.raises(ValueError, match='2 labelled rows'):
    batch_layout.streams(8, 2, ~np.ones(3, bool))
  with pytest.raises(ValueError, match='6 unlabelled rows'):
    batch_layout.streams(8, 2, np.ones(3, bool))
