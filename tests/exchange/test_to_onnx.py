"""ONNX: pooling against NumPy, one file, and its libraries."""

import importlib.util

import jax
import numpy as np
import pytest

from semppl_jax.exchange import to_onnx
from semppl_jax.models.weights import WeightsError
from tests.helpers import random_weights

SAME_3 = ((0, 0), (0, 1), (1, 1), (0, 0))


@pytest.fixture
def libraries():
  for name in ('onnx', 'onnxruntime', 'jax2onnx'):
    pytest.importorskip(name)


def _slow(x, kind, size, stride, padding):
  start = -np.inf if kind == 'max' else 0.0
  wide = np.pad(x, padding, constant_values=start)
  high, broad = (1 + (n - size) // stride for n in wide.shape[1:3])
  made = np.empty((len(x), high, broad, x.shape[3]), np.float32)
  for i in range(high):
    for j in range(broad):
      window = wide[:, i * stride :, j * stride :][:, :size, :size]
      made[:, i, j] = getattr(window, kind)(axis=(1, 2))
  return made


def _converted(kind, size, stride, padding):
  import jax2onnx

  operation = {'max': jax.lax.max, 'sum': jax.lax.add}[kind]
  start = np.float32(-np.inf if kind == 'max' else 0)

  def pool(x):
    return jax.lax.reduce_window(
      x, start, operation, (1, size, size, 1), (1, stride, stride, 1), padding
    )

  return jax2onnx.to_onnx(
    pool,
    inputs=[jax.ShapeDtypeStruct(('B', 6, 5, 3), np.float32)],
    opset=18,
    input_names=['x'],
  )


@pytest.mark.usefixtures('libraries')
@pytest.mark.parametrize('kind', ['max', 'sum'])
@pytest.mark.parametrize(
  ('size', 'stride', 'padding'),
  [
    (3, 2, ((0, 0), (1, 1), (1, 1), (0, 0))),
    (3, 2, SAME_3),
    (2, 2, ((0, 0), (0, 0), (0, 1), (0, 0))),
    (2, 1, ((0, 0), (0, 1), (0, 1), (0, 0))),
  ],
)
def test_pooling_is_that_of_numpy(kind, size, stride, padding):
  import onnx
  import onnxruntime

  model = _converted(kind, size, stride, padding)
  to_onnx.use_2d_pooling(model)
  onnx.checker.check_model(model)
  operations = {node.op_type for node in model.graph.node}
  assert not operations & {'Conv', 'Squeeze', 'Unsqueeze'}
  session = onnxruntime.InferenceSession(model.SerializeToString())
  for count in (2, 1):
    shape = (count, 6, 5, 3)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (got,) = session.run(None, {'x': x})
    want = _slow(x, kind, size, stride, padding)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures('libraries')
def test_a_pooling_of_another_make_is_not_guessed_at():
  model = _converted('max', 3, 2, SAME_3)
  for node in model.graph.node:
    if node.op_type == 'Squeeze':
      node.op_type = 'Identity'
  with pytest.raises(ValueError, match='Identity'):
    to_onnx.use_2d_pooling(model)


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
