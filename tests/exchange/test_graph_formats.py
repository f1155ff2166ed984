"""Files of graphs, run by their own libraries, against the network."""

import pytest

from semppl_jax.exchange import export
from tests.exchange.conftest import skip_if_unreadable
from tests.helpers import random_weights

HEADS = ('projector', 'predictor', 'classifier')
SAME = dict(backbone='wide_resnet28_2', stem='cifar', padding='same')
RESNET18 = dict(backbone='resnet18', stem='imagenet')
LITE = dict(
  backbone='efficientnet_lite0', stem='imagenet', padding='same', bn_eps=1e-3
)
SELECTIVE = dict(backbone='resnet50', stem='imagenet', selective_kernels=True)


@pytest.fixture(params=['stablehlo', 'saved_model', 'onnx'])
def name(request):
  if request.param == 'onnx':
    for library in ('onnx', 'onnxruntime', 'jax2onnx'):
      pytest.importorskip(library)
  return request.param


def _assert_runs(name, weights, heads, path):
  run = export.load_format(name).read_back(path)
  images = random_weights.images(weights, 2)
  want = random_weights.slow(weights, heads, images)
  random_weights.assert_exact(run(images), want)
  one = {name: value[:1] for name, value in want.items()}
  random_weights.assert_exact(run(images[:1]), one)


def test_any_number_of_images(name, written):
  _assert_runs(name, *written(name))


@pytest.mark.slow
@pytest.mark.parametrize(
  ('size', 'heads', 'network'),
  [
    (32, HEADS, {}),
    (16, (), SAME),
    (32, (), RESNET18 | dict(padding='torch')),
    (32, (), RESNET18 | dict(padding='same')),
    (32, (), SELECTIVE | dict(padding='torch')),
    (32, (), LITE),
  ],
  ids=['every head', 'cifar', 'resnet18', 'resnet18-same', 'selective', 'lite'],
)
def test_every_kind_of_network(name, size, heads, network, tmp_path):
  weights = random_weights.make(size, **network)
  form, path = export.load_format(name), tmp_path / 'file'
  skip_if_unreadable(name, weights)
  form.check(weights, heads)
  form.write(path, weights, heads)
  _assert_runs(name, weights, heads, path)
