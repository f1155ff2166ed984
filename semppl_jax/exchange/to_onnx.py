"""The network as an ONNX graph, by jax2onnx: `pip install semppl_jax[onnx]`.

Opset 18 (ONNX 1.13, of 2022), in the main domain alone. The input is `images`,
uint8 [B, crop, crop, 3], as JPEG decoders give them; normalisation is inside.
Paddings are written out in pixels, so that `'torch'` and `'same'` are both
exact.
"""

from collections.abc import Callable, Iterator
import contextlib
import importlib.util
import logging
import pathlib
from typing import Any

import jax
import numpy as np

from semppl_jax.exchange import inference, onnx_pooling
from semppl_jax.models.weights import Weights, WeightsError

# Largest difference, over the largest value of an output: other kernels, which
# sum in another order.
TOLERANCE = 1e-4
OPSET = 18
_LIBRARIES = ('onnx', 'onnxruntime', 'jax2onnx')


def check(weights: Weights, heads: tuple[str, ...]) -> None:
  """Stops where a library is missing, and on more than protobuf's 2 GiB.

  Raises:
    WeightsError: one of both.
  """
  missing = [
    name for name in _LIBRARIES if importlib.util.find_spec(name) is None
  ]
  if missing:
    raise WeightsError(
      f'--format=onnx needs {" and ".join(missing)}:'
      " pip install 'semppl_jax[onnx]'."
    )
  inference.check_size(weights, heads, 'ONNX')


def write(path: pathlib.Path, weights: Weights, heads: tuple[str, ...]) -> None:
  """Writes one file with the weights inside."""
  import jax2onnx
  import onnx

  images = jax.ShapeDtypeStruct(
    ('B', *inference.image_shape(weights)), np.uint8
  )
  with _quiet():
    model: Any = jax2onnx.to_onnx(
      inference.make(weights, heads),
      inputs=[images],
      opset=OPSET,
      model_name=weights.network.backbone,
      input_names=['images'],
      # JAX gives the entries of a dict in the order of their names.
      output_names=sorted(inference.outputs(heads)),
    )
  onnx_pooling.to_two_axes(model)
  model.producer_name = 'semppl_jax'
  onnx.checker.check_model(model)
  onnx.save_model(model, str(path))


def read_back(
  path: pathlib.Path,
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
  """Returns what ONNX Runtime's CPU makes of uint8 [n, crop, crop, 3]."""
  import onnxruntime

  session = onnxruntime.InferenceSession(
    str(path), providers=['CPUExecutionProvider']
  )
  names = [each.name for each in session.get_outputs()]

  def run(images: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(names, session.run(names, {'images': images}), strict=True))

  return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps to itself what the converter says of shapes that it drops."""
  log = logging.getLogger('onnx_ir')
  level = log.level
  log.setLevel(logging.ERROR)
  try:
    yield
  finally:
    log.setLevel(level)
