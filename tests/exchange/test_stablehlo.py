"""StableHLO against the network that it was written from."""

import pytest
import random_weights

from semppl_jax.exchange import stablehlo

HEADS = ('projector', 'predictor', 'classifier')
SAME = dict(backbone='wide_resnet28_2', stem='cifar', padding='same')
RESNET18 = dict(backbone='resnet18', stem='imagenet')
SELECTIVE = dict(backbone='resnet50', stem='imagenet', selective_kernels=True)


def _check(path, heads, size=32, **network):
  weights = random_weights.make(size, **network)
  stablehlo.check(weights, heads)
  stablehlo.write(path, weights, heads)
  run = stablehlo.read_back(path)
  images = random_weights.images(weights, 3)
  want = random_weights.slow(weights, heads, images)
  random_weights.assert_exact(run(images), want)
  one = {name: value[:1] for name, value in want.items()}
  random_weights.assert_exact(run(images[:1]), one)


def test_any_number_of_images_with_every_head(tmp_path):
  _check(tmp_path / 'file', HEADS)


@pytest.mark.slow
def test_same_padding_is_exact(tmp_path):
  _check(tmp_path / 'file', (), size=16, **SAME)


def test_it_is_for_every_platform(tmp_path):
  from jax import export

  weights = random_weights.make()
  stablehlo.write(tmp_path / 'file', weights, ())
  found = export.deserialize(bytearray((tmp_path / 'file').read_bytes()))
  assert found.platforms == ('cpu', 'cuda', 'tpu')
  # Neither on a TPU nor on a GPU may float32 be rounded to fewer bits.
  assert 'HIGHEST' in found.mlir_module()
  assert 'DEFAULT' not in found.mlir_module()


@pytest.mark.slow
@pytest.mark.parametrize(
  ('network', 'padding'),
  [(RESNET18, 'torch'), (RESNET18, 'same'), (SELECTIVE, 'torch')],
)
def test_larger_networks(network, padding, tmp_path):
  _check(tmp_path / 'file', (), padding=padding, **network)
