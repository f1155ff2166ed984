"""Evaluations of a tiny network on a few images."""

import jax
import ml_collections

from semppl_jax.config import loading
from semppl_jax.protocols import setup


def make_config(images, **fields) -> ml_collections.ConfigDict:
  """Returns the config of a small evaluation of the folder `images`."""
  c = loading.load('configs/evaluate/quickstart.py').unlock()
  c.batch_size = 16
  c.data.update(
    kind='folder',
    path=str(images / 'train'),
    test_path=str(images / 'test'),
    labels='per_class:6',
  )
  c.knn.k = (1, 5)
  for recipe in (c.linear, c.finetune, c.suncet, c.baseline):
    recipe.update(
      batch_size=4,
      duration='2 epochs',
      learning_rates=(0.01,),
      weight_decays=(0.0,),
      optimizer='sgd',
    )
  c.robustness.images = 4
  c.update_from_flattened_dict(fields)
  return c.lock()


def make_context(
  images, checkpoint, workdir, devices=None, **fields
) -> setup.Context:
  """Builds a small evaluation; on two devices by default."""
  config = make_config(images, **fields)
  return setup.build(
    config, str(checkpoint), workdir, devices or jax.devices()[:2]
  )
