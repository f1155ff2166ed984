import functools
import itertools
import pathlib

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from semppl_jax.data import dataset, labels, pipeline
from semppl_jax.data.support_set import SupportSampler
from tests.helpers.image_sets import encoded, grey, write_folder, write_records
from tests.helpers.train_steps import KINDS, steps

CLASSES = ('ant', 'bee', 'cat', 'dog')
batches = functools.partial(steps, support=True)


def ask(config, classes, images, views=1):
  config.support = dict(
    classes_per_batch=classes, images_per_class=images, views=views
  )
  return config


@pytest.fixture(params=['folder', 'tfrecord'])
def grey_config(request, config, tmp_path):
  """The config of 48 images of a grey each, twelve of each of four classes."""
  config.data.kind = request.param
  if request.param == 'folder':
    root = tmp_path / 'images'
    config.data.path = write_folder(root, 48, CLASSES, grey)
  else:
    root = tmp_path / 'records'
    config.data.path = write_records(root, classes=4, image=grey)
  return config


def numbers_of(train):
  """The number of each image, by which `image_sets` made it."""
  return np.array([int(''.join(filter(str.isdigit, x))) for x in train.ids])


@pytest.mark.parametrize('any_config', KINDS, indirect=True)
def test_resume_and_process_count_change_nothing(any_config):
  c = ask(any_config, 2, 12)
  c.data.labels = 'per_class:9'
  whole = batches(c, 5)[3:]
  # Six rows of a process are less than a block of rows.
  for process in (1, 3):
    part = batches(c, 2, 3, (process, 4))
    rows = slice(6 * process, 6 * process + 6)
    for a, b in zip(whole, part, strict=True):
      for x, y in zip(a.batch.support, b.batch.support, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x[rows], y)


@pytest.mark.parametrize('any_config', ['tfrecord'], indirect=True)
def test_the_other_rows_are_the_same_with_and_without(any_config):
  c = ask(any_config, 2, 4)
  c.data.labelled_per_batch = 4
  c.data.labels = 'per_class:6'
  plain, beside = (batches(c, 3, support=x) for x in (False, True))
  for a, b in zip(plain, beside, strict=True):
    assert a.batch.support is None and b.batch.support is not None
    for x, y in zip(a.batch[:5], b.batch[:5], strict=True):
      np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize('views', [1, 2])
@pytest.mark.parametrize('grey_config', ['folder'], indirect=True)
def test_labels_and_columns_are_those_of_the_images_shown(grey_config, views):
  c = ask(grey_config, 3, 5, views)
  c.data.labels = 'per_class:7'
  train = dataset.load(c.data).train
  number, known = numbers_of(train), labels.select(c.data, train).index
  orders = set()
  for step in batches(c, 6):
    rows = step.batch.support
    assert rows.large.shape == (15, views, 8, 8, 3)
    assert rows.large.dtype == np.uint8
    assert {x.dtype for x in rows[1:]} == {np.dtype(np.int32)}
    shown = rows.large[:, :, :1, :1, :1]
    assert (rows.large == shown).all()
    np.testing.assert_array_equal(
      shown[..., 0, 0, 0], np.tile(number[rows.index] * 5, (views, 1)).T
    )
    assert np.isin(rows.index, known).all()
    np.testing.assert_array_equal(rows.label, number[rows.index] % 4)
    np.testing.assert_array_equal(rows.column, np.repeat(range(3), 5))
    assert len(np.unique(rows.index)) == 15
    orders.add(tuple(rows.label[::5].tolist()))
    assert len(set(rows.label[::5].tolist())) == 3
  assert len(orders) > 1


@pytest.mark.parametrize('any_config', ['folder'], indirect=True)
def test_crops_are_those_of_no_other_row(any_config):
  # As many numbers for an image here as there, and every image there.
  c = ask(any_config, 2, 24, 2)
  c.batch_size = 48
  c.views.small.count = 0
  c.data.labels = 'per_class:5'
  repeats = numbered_alike = 0
  for step in batches(c, 5):
    rows, others = step.batch.support, step.batch
    for a, b in itertools.combinations(range(48), 2):
      if rows.index[a] == rows.index[b]:
        repeats += 1
        assert (rows.large[a] != rows.large[b]).any()
    for a, b in np.argwhere(rows.index[:, None] == others.index):
      numbered_alike += a == rows.index[a]
      assert (rows.large[a] != others.large[b]).any()
    # So small an image has few boxes: two views may have the same.
    views = rows.large[:, 0] != rows.large[:, 1]
    assert views.any(axis=(1, 2, 3)).mean() > 0.9
  assert repeats > 400 and numbered_alike > 1


@pytest.mark.parametrize('any_config', ['folder'], indirect=True)
def test_crops_change_with_the_step_and_the_seed(any_config):
  # One image of each class in two slots: some steps and seeds show the same.
  c = ask(any_config, 2, 1)
  c.data.labels = 'per_class:1'
  alike = {}
  for crops in batches(c, 4):
    key = tuple(crops.batch.support.index)
    alike.setdefault(key, []).append(crops.batch.support.large)
  for seed in range(4, 8):
    c.seed = seed
    rows = batches(c, 1)[0].batch.support
    alike.setdefault(tuple(rows.index), []).append(rows.large)
  pairs = [x for own in alike.values() for x in itertools.combinations(own, 2)]
  assert len(pairs) > 10
  assert all((a != b).any() for a, b in pairs)


@pytest.mark.parametrize('grey_config', ['folder'], indirect=True)
def test_large_settings_are_those_of_the_large_views(grey_config):
  c = ask(grey_config, 2, 4, 3)
  c.views.large.update(size=6, count=2)
  c.views.small.update(size=4, count=2)
  batch = batches(c, 1)[0].batch
  assert batch.large.shape == (16, 2, 6, 6, 3)
  assert batch.support.large.shape == (8, 3, 6, 6, 3)


def damage(config, tmp_path, bad):
  """Makes the images of these numbers unreadable."""
  if config.data.kind == 'tfrecord':
    config.data.path = write_records(
      tmp_path / 'bad', bad=bad, classes=4, image=grey
    )
    return
  for number in bad:
    name = f'{CLASSES[number % 4]}/{number:03}.png'
    (pathlib.Path(config.data.path) / name).write_bytes(b'')


def test_an_unreadable_image_is_replaced_and_reported(grey_config, tmp_path):
  c = ask(grey_config, 4, 6)
  c.batch_size = 4
  whole = batches(c, 4)
  bad = [9, 26, 35]
  damage(c, tmp_path, bad)
  damaged = batches(c, 4)
  number = numbers_of(dataset.load(c.data).train)
  replaced = 0
  for a, b in zip(whole, damaged, strict=True):
    wanted, rows = a.batch.support, b.batch.support
    hit = np.isin(number[wanted.index], bad)
    replaced += hit.sum()
    lost = [*a.batch.index[np.isin(number[a.batch.index], bad)]]
    assert sorted(b.corrupt) == sorted([*lost, *wanted.index[hit]])
    assert b.corrupt.dtype == np.int32
    for x, y in zip(wanted, rows, strict=True):
      np.testing.assert_array_equal(x[~hit], y[~hit])
    for row in np.flatnonzero(hit):
      block = row // 8 * 8
      places = [block + (row + i - block) % 8 for i in range(1, 8)]
      stand_in = next(i for i in places if not hit[i])
      for x in rows:
        np.testing.assert_array_equal(x[row], x[stand_in])
    np.testing.assert_array_equal(
      rows.large[:, 0, 0, 0, 0], number[rows.index] * 5
    )
    np.testing.assert_array_equal(rows.label, number[rows.index] % 4)
  assert replaced > 3
  # Each process reports its own rows, which share a block.
  parts = [batches(c, 4, 0, (p, 2)) for p in range(2)]
  for step, b in enumerate(damaged):
    reported = [x for part in parts for x in part[step].corrupt]
    assert sorted(reported) == sorted(b.corrupt)


def test_a_block_without_a_readable_image_stops(grey_config, tmp_path):
  c = ask(grey_config, 2, 4)
  c.batch_size = 48
  damage(c, tmp_path, [n for n in range(48) if n % 4 < 2])
  with pytest.raises(ValueError, match=r'unreadable image\(s\).* all of a bl'):
    batches(c, 12)


def test_records_that_changed_stop_with_the_sentence(config, tmp_path):
  c = ask(config, 2, 4)
  c.data.kind = 'tfrecord'
  c.data.path = write_records(tmp_path, (24,))
  c.data.shuffle_gib = 1.0  # The other rows are read once, before.
  train = dataset.load(c.data).train
  subset = labels.select(c.data, train)
  stream = pipeline.train_batches(c, train, subset, support=True)
  next(stream)
  write_records(tmp_path, (24,), image=grey)
  with pytest.raises(ValueError, match=r'^config\.data: .* has changed since'):
    list(itertools.islice(stream, 50))


def test_paths_may_have_any_letter(config, tmp_path):
  for name in ('ä', '日本'):
    (tmp_path / name).mkdir()
    for i in range(10):
      (tmp_path / name / f'{i} é.png').write_bytes(encoded(i))
  config.data.kind = 'folder'
  config.data.path = str(tmp_path)
  assert not len(batches(ask(config, 2, 4), 1)[0].corrupt)


@pytest.mark.parametrize(
  ('wanted', 'processes', 'message'),
  [
    (
      (5, 4, 1),
      1,
      r'^config\.support\.classes_per_batch=5 must be at most the 4 classes '
      r'that have labelled images\.$',
    ),
    ((0, 4, 1), 1, r'support\.classes_per_batch=0 must be at least 1\.$'),
    ((2, 0, 1), 1, r'support\.images_per_class=0 must be at least 1\.$'),
    ((2, 4, 0), 1, r'support\.views=0 must be at least 1\.$'),
    (
      (2, 7, 1),
      4,
      r'^config\.support gives 2 classes x 7 images = 14 rows, which must be a '
      r'multiple of the 4 processes\.$',
    ),
  ],
)
def test_impossible_counts_are_named(
  config, tmp_path, wanted, processes, message
):
  config.data.kind = 'folder'
  config.data.path = write_folder(tmp_path, 16, CLASSES)
  with pytest.raises(ValueError, match=message):
    batches(ask(config, *wanted), 1, 0, (0, processes))


def test_missing_images_and_classes_are_logged_once(config, tmp_path, caplog):
  config.data.kind = 'folder'
  config.data.path = write_folder(tmp_path, 18, CLASSES)
  batches(ask(config, 2, 4), 4)
  assert not caplog.records
  # Five images of the first two classes, four of the others.
  batches(ask(config, 1, 5), 4)
  assert [record.getMessage() for record in caplog.records] == [
    'config.support.images_per_class=5 exceeds the labelled images of 2 '
    "class(es): 'cat (4)', 'dog (4)'; a support batch repeats them.",
    'A support batch has 1 of the 4 classes; unlabelled images of the other '
    'classes are compared with these alone.',
  ]


def random_classes(sizes, seed=0):
  images = np.random.default_rng(seed).permutation(200)[: sum(sizes)]
  return np.split(images, np.cumsum(sizes)[:-1])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_draw_is_balanced_and_a_function_of_the_step(data):
  sizes = data.draw(st.lists(st.integers(1, 15), min_size=1, max_size=9))
  classes = data.draw(st.integers(1, len(sizes)))
  per_class = data.draw(st.integers(1, 24))
  seed, step = (data.draw(st.integers(0, 2**31 - 1)) for _ in range(2))
  images = random_classes(sizes)
  draw = SupportSampler(images, classes, per_class, seed)
  drawn = draw.at(step)
  assert drawn.dtype == np.int32 and drawn.shape == (classes * per_class,)
  of = {int(i): c for c, own in enumerate(images) for i in own}
  shown = []
  for row in drawn.reshape(classes, per_class):
    (number,) = {of[int(i)] for i in row}
    shown.append(number)
    _, counts = np.unique(row, return_counts=True)
    assert len(counts) == min(per_class, sizes[number])
    assert counts.max() - counts.min() <= 1
  assert len(set(shown)) == classes
  np.testing.assert_array_equal(
    draw.columns(np.arange(classes * per_class)),
    np.repeat(range(classes), per_class),
  )
  # Whatever was asked before, of this draw or of another.
  other = SupportSampler(images, classes, per_class, seed)
  other.at(step + 1)
  np.testing.assert_array_equal(other.at(step), drawn)


def test_draws_differ_between_steps_and_seeds():
  images = random_classes([20] * 5)
  drawn = {
    tuple(SupportSampler(images, 3, 4, seed).at(step).tolist())
    for seed in range(20)
    for step in range(20)
  }
  assert len(drawn) == 400


def test_classes_and_images_come_up_equally_often():
  sizes = (6, 6, 12, 12, 12, 12)
  images = random_classes(sizes)
  draw = SupportSampler(images, 3, 4, 0)
  drawn = np.concatenate([draw.at(step) for step in range(2000)])
  shown = np.bincount(drawn, minlength=200)
  for size, own in zip(sizes, images, strict=True):
    # In half of the steps, four of its images: 4000 rows, give or take 5 %.
    np.testing.assert_allclose(shown[own].sum(), 4000, rtol=0.05)
    np.testing.assert_allclose(shown[own], 4000 / size, rtol=0.2)
