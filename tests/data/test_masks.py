"""Masks from a store: which images have one, and batches with them."""

import itertools
import json
import pathlib

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from configs import base
from semppl_jax.data import inspection, labels, masks, pipeline
from semppl_jax.data.tf.runtime import tf
from semppl_jax.saliency import mask_store
from tests.helpers.image_sets import write_folder, write_records
from tests.helpers.mask_files import blob, png, shown, write_store
from tests.helpers.train_steps import assert_same, joined, KINDS, steps

SIZE = (24, 30)


def numbers_of(train):
  return [int(''.join(filter(str.isdigit, x))) for x in train.ids]


@pytest.fixture(params=['folder', 'tfrecord'])
def images(request, config, tmp_path):
  """The config of 48 images that are white on their blob alone."""
  config.data.kind = request.param
  if request.param == 'folder':
    one = lambda number, size: shown(number)
    config.data.path = write_folder(tmp_path / 'images', 48, image=one)
  else:
    config.data.path = write_records(tmp_path / 'records', image=shown)
  config.saliency.probability = 0.5
  return config


def add_store(config, tmp_path, content=None, ids=None):
  """Gives the config a store; `content` is a mask of each number, or None."""
  content = content or (lambda number: png(blob(number)))
  config.data.saliency = ''
  train = masks.load(config).train
  ids = train.ids.tolist() if ids is None else ids
  numbers = [int(''.join(filter(str.isdigit, x))) for x in ids]
  config.data.saliency = write_store(
    tmp_path / 'masks', ids, [content(number) for number in numbers]
  )
  return config


def assert_masks_are_of_the_crops(batch, rows=slice(None)):
  """Where a crop is wholly white its mask is 1, where black it is 0."""
  crop, mask = batch.large[rows].min(axis=-1), batch.mask[rows]
  assert mask.shape == crop.shape and mask.dtype == np.uint8
  white, black = crop == 255, crop == 0
  assert white.any() and black.any() and (white | black).mean() > 0.6
  assert (mask[white] == 1).all() and (mask[black] == 0).all()


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('images', ['folder'], indirect=True)
def test_masks_are_cropped_and_flipped_with_their_image(
  images, tmp_path, interpolation
):
  c = add_store(images, tmp_path)
  c.views.interpolation = interpolation
  for step in steps(c, 3):
    assert step.unmasked == 0
    if interpolation == 'bilinear':  # The other overshoots beside an edge.
      assert_masks_are_of_the_crops(step.batch)
    else:
      grey = step.batch.large.mean(axis=-1).ravel()
      assert np.corrcoef(grey, step.batch.mask.ravel())[0, 1] > 0.9


@pytest.mark.parametrize('images', KINDS, indirect=True)
def test_resume_and_process_count_change_nothing(images, tmp_path):
  c = add_store(images, tmp_path, lambda n: None if n % 3 else png(blob(n)))
  c.data.labelled_per_batch = 6  # Two streams, neither of whole blocks.
  c.data.labels = 'per_class:5'
  whole = steps(c, 4)
  assert 0 < sum(step.unmasked for step in whole) < 4 * 16
  assert_same(whole[2:], steps(c, 2, 2))
  assert_same(whole[2:], joined([steps(c, 2, 2, (p, 2)) for p in range(2)]))


@pytest.mark.parametrize('images', ['tfrecord'], indirect=True)
def test_masks_change_nothing_else(images, tmp_path):
  plain = steps(images, 3)
  beside = steps(add_store(images, tmp_path), 3)
  for a, b in zip(plain, beside, strict=True):
    assert a.batch.mask is None and a.unmasked is None
    assert b.batch.mask is not None
    for x, y in zip(a.batch[:5], b.batch[:5], strict=True):
      np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize('images', ['folder'], indirect=True)
def test_without_masking_no_store_is_looked_at(images):
  images.data.saliency = 'nowhere'
  images.saliency.probability = 0.0
  assert masks.load(images).train.masks is None
  assert steps(images, 1)[0].batch.mask is None


def test_without_masking_masks_in_records_are_not_read(config, tmp_path):
  config.data.kind = 'tfrecord'
  config.data.path = write_records(tmp_path, mask=True)
  assert steps(config, 1)[0].batch.mask is not None
  config.saliency.probability = 0.0
  step = steps(config, 1)[0]
  assert step.batch.mask is None and step.unmasked is None


@pytest.mark.parametrize('images', ['tfrecord'], indirect=True)
def test_support_rows_come_with_masks_of_the_others(images, tmp_path):
  c = add_store(images, tmp_path)
  c.support = dict(classes_per_batch=2, images_per_class=4, views=1)
  for step in steps(c, 2, support=True):
    assert step.batch.support is not None and step.unmasked == 0
    assert_masks_are_of_the_crops(step.batch)


@pytest.mark.parametrize('images', ['folder'], indirect=True)
def test_blank_missing_and_scaled_masks(images, tmp_path):
  """By the number of the image: none, all 0, all 1, halved, three times."""

  def content(number):
    mask = blob(number)
    return (
      None,
      png(np.zeros_like(mask)),
      png(np.ones_like(mask)),
      png(mask[::2, ::2]),
      png(mask.repeat(3, axis=0).repeat(3, axis=1)),
      png(mask),
    )[number % 6]

  c = add_store(images, tmp_path, content)
  c.batch_size = 48
  train = masks.load(c).train
  kind = np.array(numbers_of(train)) % 6
  assert train.masks.covered == 40
  step = steps(c, 1)[0]
  kind = kind[step.batch.index]
  assert step.unmasked == 24 == (kind < 3).sum()
  assert (step.batch.mask[kind < 3] == 1).all()
  assert_masks_are_of_the_crops(step.batch, kind >= 4)
  halved = step.batch.large[kind == 3].mean(axis=-1)
  assert np.corrcoef(halved.ravel(), step.batch.mask[kind == 3].ravel())[
    0, 1
  ] > 0.7  # fmt: skip


def test_a_row_that_stands_in_has_its_own_mask(images, tmp_path):
  c = add_store(images, tmp_path, lambda n: png(blob(n)) if n % 2 else None)
  if c.data.kind == 'tfrecord':
    c.data.path = write_records(tmp_path / 'bad', bad=(4, 8), image=shown)
  else:
    for name in ('cat/004.png', 'cat/008.png'):
      (pathlib.Path(c.data.path) / name).write_bytes(b'')
  number = np.array(numbers_of(masks.load(c).train))
  lost = 0
  for step in steps(c, 3):
    has = number[step.batch.index] % 2 == 1
    lost += len(step.corrupt)
    assert step.unmasked == (~has).sum()
    assert_masks_are_of_the_crops(step.batch, has)
  assert lost


@pytest.mark.parametrize('images', ['folder'], indirect=True)
def test_a_damaged_mask_costs_its_image_and_no_other(images, tmp_path):
  c = add_store(images, tmp_path)
  c.batch_size = 48
  ids = masks.load(c).train.ids[:16]
  file = masks.shard_file(c.data.saliency, 48, 0)
  good = png(blob(0))
  mask_store.write_shard(
    file, [(x, b'no PNG' if x == ids[5] else good) for x in ids]
  )
  assert steps(c, 1)[0].corrupt.tolist() == [5]


def test_the_store_stands_in_for_masks_in_the_records(config, tmp_path):
  config.data.kind = 'tfrecord'
  noise = write_records(tmp_path / 'records', image=shown, mask=True)
  config.data.path = noise
  config.saliency.probability = 0.25
  own = steps(config, 1)[0]
  assert own.unmasked == 0
  text = masks.describe(config, masks.load(config).train)
  assert text == 'those in the records; a large view is masked with chance 0.25'
  add_store(config, tmp_path)
  assert_masks_are_of_the_crops(steps(config, 1)[0].batch)
  text = masks.describe(config, masks.load(config).train)
  assert text.endswith('; those in the records are not used')


@pytest.mark.parametrize('images', ['folder'], indirect=True)
def test_what_a_run_says_of_its_masks(images, tmp_path):
  assert masks.describe(images, masks.load(images).train) == (
    'none (no view is masked)'
  )
  blank = {0: np.zeros(SIZE, bool), 1: np.ones(SIZE, bool)}
  c = add_store(
    images,
    tmp_path,
    lambda n: None if n > 45 else png(blank.get(n, blob(n))),
  )
  assert masks.describe(c, masks.load(c).train) == (
    f'46 of 48 images have one ({c.data.saliency}: detector by hand, version 1,'
    ' for by hand); a large view is masked with chance 0.5; 2 of the store are'
    ' blank and not applied'
  )
  assert 'saliency masks        46 of 48 images have one (' in checked(c)
  c.saliency.probability = 0.0
  words = 'not read, as config.saliency.probability=0 (no view is masked)'
  assert f'saliency masks        {words}' in checked(c)


def checked(config):
  """What `--check` prints of the data."""
  splits = masks.load(config)
  return str(inspection.report(config, splits, labels.NONE, decode=False))


@pytest.mark.parametrize('images', ['folder'], indirect=True)
def test_part_of_the_images_and_more_of_them(images, tmp_path):
  c = add_store(images, tmp_path)
  c.data.limit = 40
  part = masks.load(c).train
  assert part.size == part.masks.covered == 40
  assert_masks_are_of_the_crops(steps(c, 1)[0].batch)
  c.data.limit = 0
  c = add_store(c, tmp_path / 'less', ids=part.ids.tolist())
  whole = masks.load(c).train
  assert (whole.size, whole.masks.covered) == (48, 40)


@pytest.mark.parametrize('images', ['folder'], indirect=True)
def test_masks_of_another_data_set_are_refused(images, tmp_path):
  ids = [f'other{i}' for i in range(30)]
  train = masks.load(images).train
  ids[:9] = train.ids[:9].tolist()
  c = add_store(images, tmp_path, ids=ids)
  with pytest.raises(ValueError) as error:
    masks.load(c)
  assert str(error.value) == (
    f'config.data.saliency={c.data.saliency!r} holds masks of another data set'
    f' (by hand): 9 of its 30 are of images among the 48 of {train.name!r}.'
  )


@pytest.mark.parametrize('images', ['folder'], indirect=True)
@pytest.mark.parametrize(
  ('damage', 'message'),
  [
    (
      'absent',
      r"saliency='.*' has no masks.json, so it is not a",
    ),
    ('unfinished', r'is not finished; the same python -m semppl_jax.saliency'),
    ('empty', r'holds no masks\.$'),
    ('gone', r"masks-00001-of-00003.tfrecord' cannot be read: "),
    ('cut', r"masks-00001-of-00003.tfrecord' cannot be read: "),
    ('short', r'holds 47 masks, and masks.json says 48; make it again'),
  ],
)
def test_a_bad_store_is_one_sentence(images, tmp_path, damage, message):
  c = add_store(images, tmp_path)
  folder = pathlib.Path(c.data.saliency)
  json_file = folder / masks.INFO_FILE
  content = json.loads(json_file.read_text())
  middle = folder / 'masks-00001-of-00003.tfrecord'
  if damage == 'absent':
    json_file.unlink()
  elif damage == 'unfinished':
    json_file.write_text(json.dumps(content | {'counts': None}))
  elif damage == 'empty':
    content['counts']['masks'] = 0
    json_file.write_text(json.dumps(content))
  elif damage == 'gone':
    middle.unlink()
  elif damage == 'cut':
    middle.write_bytes(middle.read_bytes()[:-20])
  else:
    pairs = [('a', b'')] * 15
    mask_store.write_shard(str(middle), pairs)
  with pytest.raises(ValueError, match=message) as error:
    masks.load(c)
  assert str(error.value).startswith('config.data.saliency=')
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('images', ['tfrecord'], indirect=True)
def test_masks_that_change_on_the_way_stop_with_the_sentence(images, tmp_path):
  c = add_store(images, tmp_path)
  train = masks.load(c).train
  stream = pipeline.train_batches(c, train, labels.select(c.data, train))
  next(stream)
  for file in pathlib.Path(c.data.saliency).glob('*.tfrecord'):
    file.write_bytes(b'x' + file.read_bytes())
  with pytest.raises(ValueError, match=r'^config\.data\.saliency=.* changed'):
    list(itertools.islice(stream, 20))


@settings(max_examples=25, deadline=None)
@given(
  st.sets(st.text(min_size=1, max_size=8), min_size=2, max_size=20),
  st.data(),
)
def test_every_image_finds_its_own_mask(tmp_path_factory, names, draw):
  names = sorted(names)
  held = draw.draw(st.permutations(names))
  some = held[: draw.draw(st.integers(1, len(held)))]
  root = tmp_path_factory.mktemp('store')
  folder = write_store(root, some, [png(blob(names.index(x))) for x in some])
  info = masks.read_info(folder, 'here')
  train = masks.Dataset('x', np.array(names), np.zeros(len(names)), (), None)
  found = masks._index_masks(
    base.get_config().data, folder, info, train, 'here'
  )
  for row, name in enumerate(names):
    assert (found.place[row] >= 0) == (name in some)
  from semppl_jax.data.tf.masks import read_masks

  rows = np.array(draw.draw(st.lists(st.integers(0, len(names) - 1))), int)
  for row, stored in zip(rows, read_masks(found, rows), strict=True):
    assert bool(stored) == (names[row] in some)
    feature = tf.train.Example.FromString(stored).features.feature
    if stored:
      assert feature['id'].bytes_list.value[0].decode() == names[row]
