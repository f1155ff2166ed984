"""What is special to ONNX; the rest is in `test_graph_formats`."""

import importlib.util

import pytest

from semppl_jax.exchange import to_onnx
from semppl_jax.models.weights import WeightsError
from tests.helpers import random_weights


def test_one_file_takes_any_number_of_images(written):
  for name in ('onnxruntime', 'jax2onnx'):
    pytest.importorskip(name)
  onnx = pytest.importorskip('onnx')
  *_, path = written('onnx')
  model = onnx.load(str(path))
  assert [(x.domain, x.version) for x in model.opset_import] == [('', 18)]
  (images,) = model.graph.input
  assert images.name == 'images'
  assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
  first, *rest = images.type.tensor_type.shape.dim
  assert first.dim_param
  assert [x.dim_value for x in rest] == [32, 32, 3]
  assert [x.name for x in path.parent.iterdir()] == ['file']


def test_a_missing_library_is_a_sentence(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(WeightsError, match=r"pip install 'semppl_jax\[onnx\]'"):
    to_onnx.check(random_weights.make(), ())
