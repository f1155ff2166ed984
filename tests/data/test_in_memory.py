"""Train sets that the devices hold, and evaluation beside them."""

import pathlib

import numpy as np
import pytest

from semppl_jax.data import dataset, in_memory, labels, pipeline
from tests.helpers.image_sets import write_folder, write_records


@pytest.fixture
def on_device(config):
  config.data.backend = 'device'
  return config


def _load(config, support=False):
  train = dataset.load(config.data).train
  subset = labels.select(config.data, train)
  return train, subset, in_memory.load(config, train, subset, support)


def test_a_folder(on_device, tmp_path):
  c = on_device
  c.data.update(kind='folder', path=write_folder(tmp_path / 'x', 12))
  c.data.labels, c.batch_size, c.data.labelled_per_batch = 'per_class:2', 8, 4
  train, subset, (data, unreadable, _) = _load(c)
  assert not len(unreadable)
  # From 9 to 13 px high and 11 to 13 px wide.
  assert data.canvas.image.shape == (12, 13, 13, 3)
  assert data.canvas.mask is None and data.support is None
  for row, name in enumerate(train.ids):
    number = int(pathlib.Path(name).stem)
    height, width = data.canvas.extent[row]
    assert (height, width) == (9 + number % 5, 11 + number % 3)
    own = data.canvas.image[row]
    assert own[:height, :width].any()
    assert not own[height:].any() and not own[:, width:].any()
  known = np.isin(np.arange(12), subset.index)
  np.testing.assert_array_equal(data.label, np.where(known, train.labels, -1))
  np.testing.assert_array_equal(data.diagnostic_label, train.labels)
  for found, rows in zip(data.populations, (known, ~known), strict=True):
    np.testing.assert_array_equal(found, np.flatnonzero(rows))


def test_records_with_masks(on_device, tmp_path):
  c = on_device
  c.data.update(kind='tfrecord', path=write_records(tmp_path, mask=True))
  c.batch_size = 8
  _, _, (data, _, metrics) = _load(c)
  assert data.canvas.mask.shape == (48, 12, 10)
  assert metrics == {'data/masks_missing': 0.0}
  assert set(np.unique(data.canvas.mask)) == {0, 1}
  c.saliency.probability = 0.0
  _, _, (data, _, _) = _load(c)
  assert data.canvas.mask is None


def test_unreadable_images_are_never_drawn(on_device, tmp_path):
  c = on_device
  c.data.update(kind='tfrecord', path=write_records(tmp_path, bad=(3, 30)))
  c.batch_size, c.data.labels = 8, 'all'
  c.support.update(classes_per_batch=2, images_per_class=4)
  _, _, (data, unreadable, _) = _load(c, support=True)
  np.testing.assert_array_equal(unreadable, [3, 30])
  assert not set(data.populations[0]) & {3, 30}
  table, counts = data.support
  np.testing.assert_array_equal(counts, [23, 23])  # One of each class is bad.
  for n, (row, count) in enumerate(zip(table, counts, strict=True)):
    assert (data.label[row[:count]] == n).all()
    assert not set(row[:count]) & {3, 30}


def test_what_takes_too_much_is_refused_before_it_is_decoded(
  on_device, tmp_path, monkeypatch
):
  c = on_device
  c.data.update(kind='folder', path=write_folder(tmp_path / 'x', 12))
  c.batch_size, c.data.device_gib = 8, 1e-6
  monkeypatch.setattr(in_memory.pillow, 'decode', None)
  with pytest.raises(ValueError, match=r'takes 0\.00 GiB .* 13 x 13 pixels'):
    _load(c)


def test_large_images_fit_the_canvas(on_device, tmp_path):
  c = on_device
  c.data.update(kind='folder', path=write_folder(tmp_path / 'x', 12))
  c.batch_size, c.data.canvas = 8, (6, 100)
  _, _, (data, unreadable, _) = _load(c)
  assert not len(unreadable)
  assert data.canvas.image.shape[1] == 6
  assert (data.canvas.extent[:, 0] == 6).all()


def _npz(path, count=20, **changed):
  rng = np.random.default_rng(0)
  content = {
    'images': rng.integers(0, 256, (count, 8, 6, 3), np.uint8),
    'labels': np.arange(count) % 3 - (np.arange(count) > 15),
  } | changed
  np.savez(path, **{k: v for k, v in content.items() if v is not None})
  return content


def test_arrays(on_device, tmp_path):
  c = on_device
  made = _npz(tmp_path / 'a.npz')
  named = {'class_names': np.array(['x', 'y', 'z'])}
  _npz(tmp_path / 'b.npz', 6, labels=np.arange(6) % 3, **named)
  c.data.update(kind='npz', path=str(tmp_path / 'a.npz'))
  c.batch_size, c.data.labels = 8, 'all'
  splits = dataset.load(c.data)
  assert splits.test is None
  assert splits.train.class_names == ('0', '1', '2')
  assert splits.train.ids.tolist() == [str(n) for n in range(20)]
  _, _, (data, _, _) = _load(c)
  np.testing.assert_array_equal(data.canvas.image, made['images'])
  np.testing.assert_array_equal(data.label, made['labels'])
  c.data.update(path=str(tmp_path / 'b.npz'), test_path=str(tmp_path / 'b.npz'))
  assert dataset.load(c.data).test.class_names == ('x', 'y', 'z')


@pytest.mark.parametrize(
  ('changed', 'sentence'),
  [
    ({'images': None}, "needs 'images', uint8 .* it has None"),
    ({'images': np.zeros((20, 4, 4), np.uint8)}, r'it has uint8 \(20, 4, 4\)'),
    ({'images': np.zeros((20, 4, 4, 3))}, 'it has float64'),
    ({'labels': np.zeros(3, int)}, r"20 images, and 'labels' of shape \(3,\)"),
    ({'labels': np.zeros(20)}, 'needs whole numbers'),
    ({'ids': np.arange(4)}, r"'ids' of shape \(4,\)"),
  ],
)
def test_arrays_that_are_not_as_they_must_be(
  on_device, tmp_path, changed, sentence
):
  _npz(tmp_path / 'a.npz', **changed)
  on_device.data.update(kind='npz', path=str(tmp_path / 'a.npz'))
  with pytest.raises(ValueError, match=sentence):
    dataset.load(on_device.data)


def test_no_npz(on_device, tmp_path):
  (tmp_path / 'a.npz').write_bytes(b'PK')
  on_device.data.update(kind='npz', path=str(tmp_path / 'a.npz'))
  with pytest.raises(ValueError, match='cannot be read as'):
    dataset.load(on_device.data)


def _rows(config, indices, size, process=(0, 1)):
  test = dataset.load(config.data).train
  return list(
    pipeline.eval_batches(
      config, test, np.asarray(indices), size,
      process_index=process[0], process_count=process[1],
    )
  )  # fmt: skip


@pytest.mark.parametrize('process', [(0, 1), (1, 2)])
def test_evaluation_sees_what_it_sees_with_tensorflow(
  config, tmp_path, process
):
  """No image is scaled; one is unreadable, and the last batch is padded."""
  c = config
  c.data.update(kind='tfrecord', path=write_records(tmp_path, bad=(5,)))
  c.eval.update(resize=10, crop=10)
  wanted = [*range(9), 20, 30]
  theirs = _rows(c, wanted, 4, process)
  c.data.backend = 'device'
  ours = _rows(c, wanted, 4, process)
  assert len(ours) == len(theirs) == 3
  for a, b in zip(ours, theirs, strict=True):
    np.testing.assert_array_equal(a.valid, b.valid)
    np.testing.assert_array_equal(a.label, b.label)
    np.testing.assert_array_equal(a.index, b.index)
    np.testing.assert_array_equal(a.image[a.valid], b.image[b.valid])
