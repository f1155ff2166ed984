"""The bytes of batches, so that a faster pipeline is the same pipeline.

They hold for the TensorFlow whose resizing is that of 2.21. Where another
version rounds otherwise, look at a batch of both before these are replaced.
"""

import hashlib
import itertools

from image_sets import encoded, write_folder, write_records
import numpy as np
import pytest

from semppl_jax.data import dataset, labels, pipeline

GOLDEN = {
  ('folder', 'bicubic', 0): '3045008eced6511d',
  ('folder', 'bilinear', 6): '64802b44cee3c88b',
  ('tfrecord', 'bicubic', 6): 'b32cd2202f224673',
  ('tfrecord', 'bilinear', 0): '1abfa63ba02129a7',
}


def image(number, size=(), mode='RGB'):
  """Noise, of sizes that are enlarged and reduced."""
  del size
  return encoded(number, (6 + 7 * number % 41, 5 + 11 * number % 53), mode)


def digest(batches):
  sha = hashlib.sha256()
  for host in batches:
    for array in host.batch[:6]:
      if array is not None:
        sha.update(np.ascontiguousarray(array).tobytes())
  return sha.hexdigest()[:16]


@pytest.mark.parametrize('kind, interpolation, labelled', GOLDEN)
def test_a_batch_is_golden(config, tmp_path, kind, interpolation, labelled):
  c = config
  c.data.kind = kind
  c.data.labels = 'per_class:5'
  c.data.labelled_per_batch = labelled
  c.data.path = (
    write_folder(tmp_path, 48, image=image)
    if kind == 'folder'
    else write_records(tmp_path, mask=True, image=image, mask_image=image)
  )
  c.views.interpolation = interpolation
  train = dataset.load(c.data).train
  subset = labels.select(c.data, train)
  batches = pipeline.train_batches(c, train, subset, start_step=7)
  got = digest(itertools.islice(batches, 4))
  assert got == GOLDEN[kind, interpolation, labelled]
