"""The bytes of batches, so that a faster pipeline is the same pipeline.

They hold for the TensorFlow whose resizing is that of 2.21. Where another
version rounds otherwise, look at a batch of both before these are replaced.
"""

import hashlib
import itertools

import jax
import numpy as np
import pytest

from semppl_jax.data import dataset, labels, pipeline
from tests.helpers.image_sets import (
  encoded,
  smooth,
  write_folder,
  write_records,
)

FAST = {'views.antialias': False}
FINE = {'views.antialias': True}
SMALL = {'data.scaled_decoding': True}
CANVAS = {'data.crops': 'device', 'data.canvas': (12, 14)}
GOLDEN = (
  ('folder', 'bicubic', 0, FAST, '3045008eced6511d'),
  ('folder', 'bilinear', 6, FAST, '64802b44cee3c88b'),
  ('tfrecord', 'bicubic', 6, FAST, 'b32cd2202f224673'),
  ('tfrecord', 'bilinear', 0, FAST, '1abfa63ba02129a7'),
  ('folder', 'bilinear', 6, FINE, 'fe3bc519a28d0f64'),
  ('tfrecord', 'bicubic', 0, FINE, '419b75189e3f2d33'),
  ('folder', 'bilinear', 6, SMALL, 'f91c1320161822be'),
  ('tfrecord', 'bicubic', 6, SMALL | FINE, '7f07bfc02e3c5882'),
  ('folder', 'bilinear', 6, CANVAS | SMALL, '71976559e7c1d415'),
  ('tfrecord', 'bilinear', 0, CANVAS, '9b2be13aa01c1531'),
)


def image(number, size=(), mode='RGB'):
  """Noise, of sizes that are enlarged and reduced."""
  del size
  return encoded(number, (6 + 7 * number % 41, 5 + 11 * number % 53), mode)


def photograph(number, size=()):
  """A JPEG, some of which are much larger than their views."""
  del size
  return smooth(number, (20 + 7 * number, 200 - 3 * number))


def digest(batches):
  sha = hashlib.sha256()
  for host in batches:
    for array in jax.tree.leaves(host.batch):
      sha.update(np.ascontiguousarray(array).tobytes())
  return sha.hexdigest()[:16]


@pytest.mark.parametrize('kind, interpolation, labelled, fields, want', GOLDEN)
def test_a_batch_is_golden(
  config, tmp_path, kind, interpolation, labelled, fields, want
):
  c = config
  c.data.kind = kind
  c.data.labels = 'per_class:5'
  c.data.labelled_per_batch = labelled
  one = photograph if 'data.scaled_decoding' in fields else image
  c.data.path = (
    write_folder(tmp_path, 48, image=one)
    if kind == 'folder'
    else write_records(tmp_path, mask=True, image=one, mask_image=image)
  )
  c.views.interpolation = interpolation
  c.update_from_flattened_dict(fields)
  train = dataset.load(c.data).train
  subset = labels.select(c.data, train)
  batches = pipeline.train_batches(c, train, subset, start_step=7)
  assert digest(itertools.islice(batches, 4)) == want
