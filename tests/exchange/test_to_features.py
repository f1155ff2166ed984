"""Features of a data set, as whoever has only NumPy reads them."""

import hashlib

import numpy as np
from PIL import Image
import pytest

from configs import quickstart
from semppl_jax.exchange import to_features
from semppl_jax.models.weights import WeightsError
from tests.helpers import random_weights

SIZE = 16


def _write_images(root, count, start):
  """PNGs of the size that the network takes, so that nothing resizes them."""
  rng = np.random.default_rng(start)
  for n in range(count):
    folder = root / ('cat' if n % 2 else 'dog')
    folder.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / f'{n}.png')


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  root = tmp_path_factory.mktemp('features')
  _write_images(root / 'train', 12, 0)
  _write_images(root / 'test', 6, 1)
  (root / 'train' / 'dog' / 'torn.png').write_bytes(b'no image')
  config = quickstart.get_config()
  config.data.update(
    kind='folder',
    path=str(root / 'train'),
    test_path=str(root / 'test'),
    labels='per_class:2',
  )
  config.eval.batch_size = 5  # Not a multiple of the devices.
  weights = random_weights.make(SIZE)._replace(config=config)
  to_features.check(weights, ('classifier',))
  path = root / 'out'
  to_features.write(path, weights, ('classifier',))
  with np.load(path, allow_pickle=False) as file:
    return root, weights, path, dict(file)


def _pixels(root, split, ids):
  files = [root / split / name for name in ids]
  return np.stack([np.asarray(Image.open(file)) for file in files])


@pytest.mark.parametrize('split', ['train', 'test'])
def test_rows_are_the_networks_of_the_images_with_these_ids(written, split):
  root, weights, _, arrays = written
  ids = arrays[f'{split}_ids']
  assert len(ids) == len(set(ids)) == {'train': 12, 'test': 6}[split]
  images = _pixels(root, split, ids)
  want = random_weights.slow(weights, ('classifier',), images)
  got = {name: arrays[f'{split}_{name}'] for name in want}
  random_weights.assert_exact(got, want)
  names = [arrays['class_names'][x] for x in arrays[f'{split}_labels']]
  assert names == [name.split('/')[0] for name in ids]


def test_labelled_rows_are_those_of_the_run(written):
  _, _, _, arrays = written
  known = arrays['train_labelled']
  labels = arrays['train_labels'][known]
  np.testing.assert_array_equal(np.bincount(labels), [2, 2])
  chosen = arrays['train_ids'][known]
  order = np.argsort(arrays['train_index'][known])
  sha = hashlib.sha256('\n'.join(chosen[order]).encode())
  sha.update(labels[order].astype('<i4').tobytes())
  assert str(arrays['labelled_hash']) == sha.hexdigest()


def test_what_the_rows_were_made_by_is_there(written):
  _, weights, _, arrays = written
  np.testing.assert_array_equal(arrays['mean'], weights.preprocessing.mean)
  np.testing.assert_array_equal(arrays['std'], weights.preprocessing.std)
  assert arrays['crop'] == SIZE
  assert len(str(arrays['train_hash'])) == 64


def test_rows_are_found_by_their_pixels(written):
  root, _, path, arrays = written
  ids = arrays['test_ids'][[3, 0]]
  found = to_features.read_back(path)(_pixels(root, 'test', ids))
  np.testing.assert_array_equal(
    found['features'], arrays['test_features'][[3, 0]]
  )
  assert set(found) == {'features', 'logits'}
  with pytest.raises(KeyError):
    to_features.read_back(path)(np.zeros((1, SIZE, SIZE, 3), np.uint8))


def test_weights_of_no_run_need_a_config():
  with pytest.raises(WeightsError, match='--config=FILE'):
    to_features.check(random_weights.make(), ())


def test_data_that_is_not_there_is_a_sentence(tmp_path):
  config = quickstart.get_config()
  config.data.update(kind='folder', path=str(tmp_path / 'gone'))
  with pytest.raises(WeightsError, match='gone'):
    to_features.check(random_weights.make()._replace(config=config), ())
