import json
import pathlib

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from semppl_jax.data import masks as masks_lib
from semppl_jax.saliency import mask_store
from tests.helpers.mask_files import blob, MAKER, png, write_store


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 100_000))
def test_every_image_is_in_one_piece(images):
  ranges = masks_lib.shard_ranges(images)
  assert [i for part in ranges for i in part] == list(range(images))
  sizes = {len(part) for part in ranges[:-1]}
  assert len(sizes) <= 1 and all(16 <= size <= 1024 for size in sizes)


def test_pieces_of_imagenet_are_many_and_small_sets_are_shared_out():
  assert len(masks_lib.shard_ranges(1_281_167)) == 1252
  assert len(masks_lib.shard_ranges(5000)) == 64
  assert len(masks_lib.shard_ranges(200)) == 13
  assert masks_lib.shard_ranges(3) == [range(3)]


IDS = st.lists(st.text(min_size=1, max_size=20), max_size=6, unique=True)


@settings(max_examples=30, deadline=None)
@given(ids=IDS, seed=st.integers(0, 99))
def test_a_file_comes_back(tmp_path_factory, ids, seed):
  file = str(tmp_path_factory.mktemp('store') / 'masks.tfrecord')
  masks = [blob(seed + i) for i in range(len(ids))]
  pairs = [(x, mask_store.png(m)) for x, m in zip(ids, masks, strict=True)]
  mask_store.write_shard(file, pairs)
  found = mask_store.count_shard(file)
  assert found.ids == tuple(ids)
  assert (found.background, found.foreground) == (0, 0)
  assert np.isclose(found.coverage, sum(m.mean() for m in masks))


def test_blank_masks_are_counted_and_grey_is_averaged(tmp_path):
  masks = [np.zeros((5, 7), bool), np.ones((3, 3), bool), blob(0), blob(1)]
  ids = ['none', 'all', 'a', 'b']
  folder = write_store(tmp_path, ids, [png(m) for m in masks])
  facts = masks_lib.read_info(folder, 'here')
  assert facts.counts[:3] == (4, 1, 1)
  share = np.mean([m.mean() for m in masks])
  assert np.isclose(facts.counts.mean_coverage, share)
  assert (facts.data, facts.images, facts.maker) == ('by hand', 4, MAKER)
  assert facts.ids == masks_lib.fingerprint(np.array(ids))


def test_the_checksum_is_that_of_ids_and_masks_in_order(tmp_path):
  def checksum(name, ids, numbers):
    folder = tmp_path / name
    write_store(folder, ids, [png(blob(n)) for n in numbers])
    return masks_lib.read_info(str(folder), 'here').counts.checksum

  first = checksum('a', ['x', 'y'], [1, 2])
  assert first == checksum('b', ['x', 'y'], [1, 2])
  others = [(['y', 'x'], [1, 2]), (['x', 'y'], [2, 1]), (['x', 'y'], [1, 3])]
  for number, other in enumerate(others):
    assert first != checksum(f'c{number}', *other)


@pytest.mark.parametrize('damage', ['cut', 'turned', 'gone'])
def test_a_damaged_file_has_no_tally(tmp_path, damage):
  file = tmp_path / 'masks.tfrecord'
  mask_store.write_shard(str(file), [('a', png(blob(0))), ('b', png(blob(1)))])
  whole = file.read_bytes()
  if damage == 'gone':
    file.unlink()
  elif damage == 'cut':
    file.write_bytes(whole[:-3])
  else:
    file.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
  assert mask_store.count_shard(str(file)) is None


def test_a_store_without_its_json_is_none(tmp_path):
  assert masks_lib.read_info(str(tmp_path), 'here') is None


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda x: x | {'format': 2}, r'^here: masks.json is of format 2, and thi'),
    (lambda x: {'format': 1}, r"^here: '.*masks.json' cannot be read: "),
    (lambda x: [], r"^here: '.*masks.json' cannot be read: "),
  ],
)
def test_another_json_is_one_sentence(tmp_path, change, message):
  folder = write_store(tmp_path, ['a'], [png(blob(0))])
  path = pathlib.Path(folder) / masks_lib.INFO_FILE
  path.write_text(json.dumps(change(json.loads(path.read_text()))))
  with pytest.raises(ValueError, match=message):
    masks_lib.read_info(folder, 'here')
  path.write_text('{')
  with pytest.raises(ValueError, match=r'^here: .* cannot be read: '):
    masks_lib.read_info(folder, 'here')


def test_masks_of_one_bit_are_small_and_exact():
  mask = np.indices((375, 500)).sum(axis=0) % 300 < 150
  content = mask_store.png(mask)
  assert len(content) < 2500
  from semppl_jax.data.tf.runtime import tf

  decoded = tf.io.decode_png(content, channels=1).numpy()
  np.testing.assert_array_equal(decoded[..., 0], mask * np.uint8(255))
