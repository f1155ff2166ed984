"""ONNX, run by ONNX Runtime, against the network that it was written from."""

import importlib.util

import pytest
import random_weights

from semppl_jax.exchange import onnx_graph
from semppl_jax.weights import WeightsError

HEADS = ('projector', 'predictor', 'classifier')
SAME = dict(backbone='wide_resnet28_2', stem='cifar', padding='same')
RESNET18 = dict(backbone='resnet18', stem='imagenet')
SELECTIVE = dict(backbone='resnet50', stem='imagenet', selective_kernels=True)


@pytest.fixture(autouse=True)
def libraries():
  for name in ('onnx', 'onnxruntime', 'jax2onnx'):
    pytest.importorskip(name)


def _check(path, heads, size=32, **network):
  weights = random_weights.make(size, **network)
  onnx_graph.check(weights, heads)
  onnx_graph.write(path, weights, heads)
  run = onnx_graph.read_back(path)
  images = random_weights.images(weights, 3)
  want = random_weights.slow(weights, heads, images)
  random_weights.assert_exact(run(images), want)
  one = {name: value[:1] for name, value in want.items()}
  random_weights.assert_exact(run(images[:1]), one)


def test_any_number_of_images_with_every_head(tmp_path):
  import onnx

  _check(tmp_path / 'file', HEADS)
  model = onnx.load(str(tmp_path / 'file'))
  assert [(x.domain, x.version) for x in model.opset_import] == [('', 18)]
  (images,) = model.graph.input
  assert images.name == 'images'
  assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
  first, *rest = images.type.tensor_type.shape.dim
  assert first.dim_param
  assert [x.dim_value for x in rest] == [32, 32, 3]
  assert [x.name for x in tmp_path.iterdir()] == ['file']


def test_a_missing_library_is_a_sentence(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(WeightsError, match=r"pip install 'semppl_jax\[onnx\]'"):
    onnx_graph.check(random_weights.make(), ())


@pytest.mark.slow
def test_same_padding_is_exact(tmp_path):
  _check(tmp_path / 'file', (), size=16, **SAME)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('network', 'padding'),
  [(RESNET18, 'torch'), (RESNET18, 'same'), (SELECTIVE, 'torch')],
)
def test_larger_networks(network, padding, tmp_path):
  _check(tmp_path / 'file', (), padding=padding, **network)
