"""SavedModel, run by TensorFlow, against the network it was written from."""

import pytest
import random_weights

from semppl_jax.exchange import saved_model

HEADS = ('projector', 'predictor', 'classifier')
SAME = dict(backbone='wide_resnet28_2', stem='cifar', padding='same')
RESNET18 = dict(backbone='resnet18', stem='imagenet')
SELECTIVE = dict(backbone='resnet50', stem='imagenet', selective_kernels=True)


def _check(path, heads, size=32, **network):
  weights = random_weights.make(size, **network)
  saved_model.check(weights, heads)
  saved_model.write(path, weights, heads)
  run = saved_model.read_back(path)
  images = random_weights.images(weights, 3)
  want = random_weights.slow(weights, heads, images)
  random_weights.assert_exact(run(images), want)
  one = {name: value[:1] for name, value in want.items()}
  random_weights.assert_exact(run(images[:1]), one)


def test_any_number_of_images_with_every_head(tmp_path):
  from semppl_jax.data.tf_runtime import tf

  path = tmp_path / 'model'
  _check(path, HEADS)
  loaded = tf.saved_model.load(str(path))
  signature = loaded.signatures['serving_default']
  _, given = signature.structured_input_signature
  assert given['images'].shape.as_list() == [None, 32, 32, 3]
  assert given['images'].dtype == tf.uint8
  # The weights are outside the graph, which can hold 2 GiB only.
  graph = (path / 'saved_model.pb').stat().st_size
  assert (
    graph
    < (path / 'variables')
    .joinpath('variables.data-00000-of-00001')
    .stat()
    .st_size
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  ('network', 'padding'),
  [(RESNET18, 'torch'), (RESNET18, 'same'), (SELECTIVE, 'torch')],
)
def test_larger_networks(network, padding, tmp_path):
  _check(tmp_path / 'model', (), padding=padding, **network)


@pytest.mark.slow
def test_same_padding_is_exact(tmp_path):
  _check(tmp_path / 'model', (), size=16, **SAME)
