"""Export as an ONNX graph, by jax2onnx: `pip install semppl_jax[onnx]`.

Opset 18 (ONNX 1.13, of 2022), in the main domain only. The input is `images`,
uint8 [B, crop, crop, 3], as JPEG decoders return them; normalization is part of
the graph. Paddings are explicit, so that `'torch'` and `'same'` are both exact.

jax2onnx converts a window over [N, H, W, C] to a MaxPool, or for a sum to a
convolution with ones, over four spatial axes. ONNX Runtime pools over three at
most, other runtimes over two. `use_2d_pooling` rewrites both to pooling over
height and width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import contextlib
import importlib.util
import logging
import pathlib
from typing import Any, TYPE_CHECKING

import jax
import numpy as np

from semppl_jax.exchange import inference
from semppl_jax.exchange.inference import HostFn
from semppl_jax.models.backbones import layers
from semppl_jax.models.weights import Weights, WeightsError

if TYPE_CHECKING:
  import onnx

# Other kernels sum in another order.
TOLERANCE = 1e-4
OPSET = 18
_LIBRARIES = ('onnx', 'onnxruntime', 'jax2onnx')
_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def check(weights: Weights, heads: tuple[str, ...]) -> None:
  """Checks the libraries, and that the weights fit the 2 GiB of protobuf."""
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
  """Writes one file that contains the weights."""
  import jax2onnx
  import onnx

  images = jax.ShapeDtypeStruct(
    ('B', *inference.image_shape(weights)), np.uint8
  )
  with _without_warnings(), layers.for_another_engine():
    model: Any = jax2onnx.to_onnx(
      inference.make_fn(weights, heads),
      inputs=[images],
      opset=OPSET,
      model_name=weights.network.backbone,
      input_names=['images'],
      # JAX sorts the entries of a dict by name.
      output_names=sorted(inference.output_names(heads)),
    )
  use_2d_pooling(model)
  model.producer_name = 'semppl_jax'
  onnx.checker.check_model(model)
  onnx.save_model(model, str(path))


def read_back(path: pathlib.Path) -> HostFn:
  """Returns the function that ONNX Runtime computes on the CPU."""
  import onnxruntime

  session = onnxruntime.InferenceSession(
    str(path), providers=['CPUExecutionProvider']
  )
  names = [each.name for each in session.get_outputs()]

  def run(images: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(names, session.run(names, {'images': images}), strict=True))

  return run


def use_2d_pooling(model: onnx.ModelProto) -> None:
  """Rewrites every pooling over four axes of `model` in place.

  Raises:
    ValueError: the graph is not as this version of jax2onnx makes it.
  """
  graph = model.graph
  initializers = {x.name: x for x in graph.initializer}
  producer = {name: node for node in graph.node for name in node.output}
  consumer = {name: node for node in graph.node for name in node.input}
  replacements: dict[str, list[onnx.NodeProto]] = {}
  for node in graph.node:
    if node.op_type not in ('MaxPool', 'Conv') or (
      len(_get(node, 'strides')) != 4
    ):
      continue
    # Around it, the two axes that are not pooled are inserted and removed.
    inner = producer[node.input[0]]
    outer = producer[inner.input[0]]
    after = consumer[node.output[0]]
    kinds = [each.op_type for each in (outer, inner, after)]
    if kinds != ['Unsqueeze', 'Unsqueeze', 'Squeeze']:
      raise ValueError(
        f'{kinds} around the pooling {node.name} are not supported; this'
        ' version of jax2onnx is unknown.'
      )
    for removed in (outer, inner, after):
      replacements[removed.output[0]] = []
    replacements[node.output[0]] = _pooling(
      node, outer.input[0], after.output[0], initializers
    )
  nodes = [
    new
    for node in graph.node
    for new in replacements.get(node.output[0], [node])
  ]
  # Deleting the nodes of the graph would clear these.
  copies = [type(x).FromString(x.SerializeToString()) for x in nodes]
  del graph.node[:]
  graph.node.extend(copies)
  used = {name for node in copies for name in node.input}
  for place in reversed(range(len(graph.initializer))):
    if graph.initializer[place].name not in used:
      del graph.initializer[place]
  # Shapes of removed tensors; runtimes infer the ones they need.
  del graph.value_info[:]


def _pooling(
  node: onnx.NodeProto,
  source: str,
  target: str,
  initializers: Mapping[str, onnx.TensorProto],
) -> list[onnx.NodeProto]:
  """Returns nodes from tensor `source` to `target`, both [N, H, W, C]."""
  from onnx import helper, numpy_helper

  window = _get(node, 'kernel_shape')
  if node.op_type == 'Conv':
    weight = numpy_helper.to_array(initializers[node.input[1]])
    if (weight != 1).any():
      raise ValueError(f'{node.name} is not a sum over a window.')
    window = weight.shape[2:]
  pads = _get(node, 'pads') or [0] * 8
  attributes: dict[str, Any] = dict(
    kernel_shape=window[1:3],
    strides=_get(node, 'strides')[1:3],
    pads=[pads[1], pads[2], pads[5], pads[6]],
  )
  name = node.output[0]
  nchw, pooled = f'{name}_nchw', f'{name}_pooled'
  middle = [helper.make_node('MaxPool', [nchw], [pooled], **attributes)]
  if node.op_type == 'Conv':
    # The mean including the padding, times the size of the window.
    mean, size = f'{name}_mean', f'{name}_count'
    middle = [
      helper.make_node(
        'AveragePool', [nchw], [mean], count_include_pad=1, **attributes
      ),
      helper.make_node(
        'Constant', [], [size], value_float=float(np.prod(window))
      ),
      helper.make_node('Mul', [mean, size], [pooled]),
    ]
  return [
    helper.make_node('Transpose', [source], [nchw], perm=_TO_NCHW),
    *middle,
    helper.make_node('Transpose', [pooled], [target], perm=_TO_NHWC),
  ]


def _get(node: onnx.NodeProto, attribute: str) -> Any:
  """Returns the value of an attribute, or () where it is not set."""
  from onnx import helper

  values = [x for x in node.attribute if x.name == attribute]
  return helper.get_attribute_value(values[0]) if values else ()


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
  """Hides the converter's warnings about shapes that it drops."""
  log = logging.getLogger('onnx_ir')
  level = log.level
  log.setLevel(logging.ERROR)
  try:
    yield
  finally:
    log.setLevel(level)
