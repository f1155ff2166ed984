import pathlib

import numpy as np
import pytest

from semppl_jax.data import dataset, masks
from semppl_jax.data.sources.tfrecord_tf import index_records, read_records
from semppl_jax.data.tf.runtime import tf
from semppl_jax.saliency import (
  generate,
  mask_fn,
  mask_store,
  shards as shards_lib,
)

MAKER = mask_fn.detector_maker('mean', 0.5)


def store(folder, data, maker=MAKER, workers=1):
  facts = generate.begin(str(folder), data, 'images', maker)
  results = generate.make_all(
    shards_lib.split_dataset(data, str(folder)), maker, workers
  )
  return generate.finish(str(folder), facts, results), results


def contents(folder):
  return {x.name: x.read_bytes() for x in pathlib.Path(folder).iterdir()}


def test_a_store_has_a_mask_of_each_readable_image(data, tmp_path, caplog):
  facts, results = store(tmp_path / 'store', data)
  assert masks.read_info(str(tmp_path / 'store'), 'here') == facts
  assert facts.counts.masks == 39 and facts.images == 40
  stored_ids = [name for result in results for name in result.ids]
  [lost] = set(data.ids.tolist()) - set(stored_ids)
  assert caplog.messages[0] == f'Skipped 1 unreadable image(s): {lost!r}.'
  shards = masks.store_shards(str(tmp_path / 'store'), 40)
  source, ids, _ = index_records(shards, 'here', masks.KEYS)
  assert ids.tolist() == [x for x in data.ids.tolist() if x != lost]
  mask_of = mask_fn.make_mask_fn(MAKER)
  all_images = shards_lib.read_images(
    shards_lib.make_shard(data, np.arange(40))
  )
  readable = [image for image in all_images if image is not None]
  covered = []
  for stored, image in zip(
    read_records(source, np.arange(39)), readable, strict=True
  ):
    content = tf.train.Example.FromString(stored).features.feature['mask']
    mask = tf.io.decode_png(content.bytes_list.value[0])
    np.testing.assert_array_equal(mask[..., 0] == 255, mask_of(image))
    covered.append(mask_of(image).mean())
  assert np.isclose(facts.counts.mean_coverage, np.mean(covered))
  assert generate.describe(facts).startswith(
    '39 masks of 40 images, mean cover'
  )


def test_any_image_has_a_mask(folder_of_images, tmp_path):
  data = dataset.load(generate.data_config(folder_of_images)).train
  facts, _ = store(tmp_path / 'store', data)
  assert facts.counts.masks == 20


@pytest.mark.slow
def test_the_number_of_workers_changes_no_byte(data, tmp_path):
  for workers in (1, 2):
    store(tmp_path / str(workers), data, workers=workers)
  assert contents(tmp_path / '1') == contents(tmp_path / '2')


def test_a_stopped_store_goes_on_and_ends_the_same(data, tmp_path, monkeypatch):
  store(tmp_path / 'straight', data)
  made, write_shard = [], mask_store.write_shard

  def write_one(file, content):
    if len(made) == 1:
      raise KeyboardInterrupt
    made.append(file)
    write_shard(file, content)

  folder = tmp_path / 'stopped'
  with monkeypatch.context() as patched:
    patched.setattr(mask_store, 'write_shard', write_one)
    with pytest.raises(KeyboardInterrupt):
      store(folder, data)
  assert masks.read_info(str(folder), 'here').counts is None
  pathlib.Path(made[0]).chmod(0o444)
  age = pathlib.Path(made[0]).stat().st_mtime_ns
  store(folder, data)
  assert pathlib.Path(made[0]).stat().st_mtime_ns == age
  assert contents(tmp_path / 'straight') == contents(folder)


@pytest.mark.parametrize('damage', ['cut', 'of other images'])
def test_a_file_that_is_not_whole_is_made_again(data, tmp_path, damage):
  store(tmp_path / 'straight', data)
  _, results = store(tmp_path / 'hurt', data)
  shard = shards_lib.split_dataset(data, str(tmp_path / 'hurt'))[1]
  file = pathlib.Path(shard.file)
  if damage == 'cut':
    file.write_bytes(file.read_bytes()[:-20])
  else:
    mask_store.write_shard(
      shard.file, [('else', mask_store.png(np.eye(3) > 0))]
    )
  assert generate.make_file(shard, MAKER) == results[1]
  assert contents(tmp_path / 'straight') == contents(tmp_path / 'hurt')


def test_a_finished_store_is_found_finished(data, tmp_path):
  facts, _ = store(tmp_path / 'store', data)
  assert generate.begin(str(tmp_path / 'store'), data, 'images', MAKER) == facts


def test_another_data_set_or_maker_is_refused(data, tmp_path):
  folder = str(tmp_path / 'store')
  generate.begin(folder, data, 'these', MAKER)
  fewer = data.select(np.arange(39))
  words = r'^--out=.* other images: 40 of these, not the 39 of those; name an'
  with pytest.raises(ValueError, match=words):
    generate.begin(folder, fewer, 'those', MAKER)
  renamed = data._replace(ids=data.ids[::-1])
  with pytest.raises(ValueError, match='masks of other images'):
    generate.begin(folder, renamed, 'those', MAKER)
  other = mask_fn.detector_maker('mean', 0.25)
  with pytest.raises(ValueError, match=r"made by {'detector': 'mean', 'thres"):
    generate.begin(folder, data, 'these', other)


def test_records_that_changed_are_refused(tmp_path, data):
  if not data.source.__class__.__name__.startswith('Record'):
    pytest.skip('files have no places')
  file = pathlib.Path(data.source.shards[0].file)
  file.write_bytes(b'x' + file.read_bytes())
  with pytest.raises(ValueError, match='has changed since it was indexed'):
    store(tmp_path / 'store', data)


def test_unknown_makers_are_named():
  with pytest.raises(ValueError, match=r'^--detector=best must be one of '):
    mask_fn.detector_maker('best', 0.5)
  with pytest.raises(ValueError, match=r'^--threshold=1.0 must be at least 0'):
    mask_fn.detector_maker('mean', 1.0)


@pytest.mark.parametrize(
  ('place', 'kind', 'called'),
  [
    ('embedded', 'embedded', 'embedded'),
    ('tfds:cifar10', 'tfds', 'cifar10/train'),
    ('tests', 'folder', 'tests'),
    ('some/where-*', 'tfrecord', 'some/where-*'),
  ],
)
def test_data_is_named_in_four_ways(place, kind, called):
  config = generate.data_config(place)
  assert config.kind == kind and generate.data_name(config) == called
