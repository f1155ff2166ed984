import json

import numpy as np

from configs import base
from semppl_jax.data import masks, pipeline
from semppl_jax.data.tf import random_resized_crop
from semppl_jax.data.tf.runtime import tf
from semppl_jax.saliency import shards


def test_a_piece_survives_its_line_of_text(data):
  cut = shards.split_dataset(data, 'store')
  assert [len(x.ids) for x in cut] == [16, 16, 8]
  assert [x for shard in cut for x in shard.ids] == data.ids.tolist()
  for number, shard in enumerate(cut):
    assert shard.file == masks.shard_file('store', 40, number)
    line = shards.to_json(shard)
    assert '\n' not in line and json.loads(line)['key'] in ('', 'image')
    assert shards.from_json(line) == shard


def test_images_are_those_of_the_pipeline(data):
  """Any rows, in their order; those that it cannot read are None."""
  config = base.get_config()
  config.data.threads = 1
  config.eval.update(resize=10, crop=8)
  rows = np.array([0, 2, 3, 11, 12, 39])
  found = list(shards.read_images(shards.make_shard(data, rows)))
  [batch] = pipeline.eval_batches(config, data, rows, len(rows))
  assert [image is not None for image in found] == batch.valid.tolist()
  assert sum(batch.valid) == 5
  for image, want, valid in zip(found, batch.image, batch.valid, strict=True):
    if valid:
      [got] = random_resized_crop.center_crops(
        [tf.constant(image)], 10, 8, 'bicubic'
      )
      np.testing.assert_array_equal(got.numpy(), want)
