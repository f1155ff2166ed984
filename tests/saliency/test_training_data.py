"""Training set of the mask network: made once, and per file."""

import jax
import numpy as np

from semppl_jax.data import dataset
from semppl_jax.saliency import generate, training_data
from tests.helpers.mask_networks import SMALL


def test_a_training_set_is_made_once(place, tmp_path, monkeypatch, caplog):
  data = dataset.load(generate.data_config(place)).train
  monkeypatch.setattr(training_data, '_SHARD_IMAGES', 15)
  seen = []
  detect = training_data.detectors.detect
  monkeypatch.setattr(
    training_data.detectors, 'detect', lambda *x: seen.append(x) or detect(*x)
  )

  def made(name='x'):
    seen.clear()
    spec = training_data.select(str(tmp_path), data, name, 100, SMALL)
    return training_data.make(*spec, SMALL, 1)

  whole = made()
  assert whole.images.shape == (39, 32, 32, 3)  # Of 40, one is unreadable.
  assert whole.maps.shape == (39, 16, 16, 2) and len(seen) == 39
  assert whole.maps.min() == 0 and whole.maps.max() == 255
  assert '1 of 40 images cannot be read.' in caplog.text
  # The shard of the unreadable one alone: it may be readable now.
  jax.tree.map(np.testing.assert_array_equal, made(), whole)
  assert len(seen) in (9, 14)
  (tmp_path / 'lessons-00001.npz').write_bytes(b'cut short')
  jax.tree.map(np.testing.assert_array_equal, made(), whole)
  assert len(seen) > 14
  made('y')  # Of other images, they are made anew.
  assert len(seen) == 39
