"""Rewrites the pooling of converted graphs so that ONNX runtimes can do it.

jax2onnx turns a window over [N, H, W, C] into a MaxPool, or for a sum into a
convolution with ones, over four spatial axes. ONNX Runtime pools over three at
most, and others over two. Here both become pooling over height and width.
"""

from typing import Any

import numpy as np

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def to_two_axes(model: Any) -> None:
  """Rewrites every four-axis pooling of `model`, an `onnx.ModelProto`."""
  graph = model.graph
  ones = {x.name: x for x in graph.initializer}
  maker = {name: node for node in graph.node for name in node.output}
  reader = {name: node for node in graph.node for name in node.input}
  instead: dict[str, list[Any]] = {}
  for node in graph.node:
    if not _is_four_axis(node):
      continue
    # Around it the two axes that a pooling does not pool are put and removed.
    inner = maker[node.input[0]]
    outer = maker[inner.input[0]]
    after = reader[node.output[0]]
    kinds = [each.op_type for each in (outer, inner, after)]
    if kinds != ['Unsqueeze', 'Unsqueeze', 'Squeeze']:
      raise ValueError(
        f'jax2onnx put {kinds} around the pooling {node.name}; this version of'
        ' it is not known here.'
      )
    for gone in (outer, inner, after):
      instead[gone.output[0]] = []
    instead[node.output[0]] = _pooling(
      node, outer.input[0], after.output[0], ones
    )
  nodes = [
    new for node in graph.node for new in instead.get(node.output[0], [node])
  ]
  # Emptying the graph would empty its nodes.
  copies = [type(x).FromString(x.SerializeToString()) for x in nodes]
  del graph.node[:]
  graph.node.extend(copies)
  used = {name for node in copies for name in node.input}
  for place in reversed(range(len(graph.initializer))):
    if graph.initializer[place].name not in used:
      del graph.initializer[place]
  # The shapes of what is gone; runtimes infer what they need.
  del graph.value_info[:]


def _is_four_axis(node: Any) -> bool:
  return node.op_type in ('MaxPool', 'Conv') and len(_get(node, 'strides')) == 4


def _pooling(
  node: Any, given: str, made: str, initializers: dict[str, Any]
) -> list[Any]:
  """Nodes from the tensor `given` to `made`, both [N, H, W, C]."""
  from onnx import helper, numpy_helper

  window = _get(node, 'kernel_shape')
  if node.op_type == 'Conv':
    weight = numpy_helper.to_array(initializers[node.input[1]])
    if (weight != 1).any():
      raise ValueError(f'{node.name} is no sum over a window.')
    window = weight.shape[2:]
  pads = _get(node, 'pads') or [0] * 8
  settings: dict[str, Any] = dict(
    kernel_shape=window[1:3],
    strides=_get(node, 'strides')[1:3],
    pads=[pads[1], pads[2], pads[5], pads[6]],
  )
  name = node.output[0]
  turned, pooled = f'{name}_nchw', f'{name}_pooled'
  middle = [helper.make_node('MaxPool', [turned], [pooled], **settings)]
  if node.op_type == 'Conv':
    # A mean with the padding counted, times the size of the window.
    count = helper.make_node(
      'Constant',
      [],
      [f'{name}_count'],
      value_float=float(np.prod(window)),
    )
    mean = helper.make_node(
      'AveragePool', [turned], [f'{name}_mean'], count_include_pad=1, **settings
    )
    product = helper.make_node(
      'Mul', [f'{name}_mean', f'{name}_count'], [pooled]
    )
    middle = [mean, count, product]
  return [
    helper.make_node('Transpose', [given], [turned], perm=_TO_NCHW),
    *middle,
    helper.make_node('Transpose', [pooled], [made], perm=_TO_NHWC),
  ]


def _get(node: Any, attribute: str) -> Any:
  """Value of an attribute, or () where it is not set."""
  from onnx import helper

  found = [x for x in node.attribute if x.name == attribute]
  return helper.get_attribute_value(found[0]) if found else ()
