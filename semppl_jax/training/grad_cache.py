"""Gradient of a batch loss, accumulated over microbatches.

A contrastive loss is not a mean over rows, so the gradients of small batches do
not add up to the gradient of a large one. With microbatches the network runs
twice, as in GradCache (Gao et al., arXiv 2101.06983): first for the outputs of
all microbatches, without keeping activations; then the loss, its memory and its
gradient with respect to the outputs are computed on the whole batch; the second
run carries this gradient back, one microbatch at a time. Loss, learning rate,
queue and moving averages mean the same as in one pass, for a third more
arithmetic and one gradient reduction over the devices per microbatch. Only
batch norm differs: each microbatch is normalized by its own statistics, and the
running averages are the mean over the microbatches of one update each.
"""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import PyTree
import numpy as np

from semppl_jax.data.batch import Batch
from semppl_jax.models.network import Outputs

Array = jax.Array
Aux = TypeVar('Aux')

# Apart from what augmentation and loss draw from the key of a step.
_MICROBATCH_STREAM = 4


class Forward(NamedTuple):
  """Outputs and batch-norm averages of one forward pass.

  Attributes:
    online: outputs of the online network, for all views and the support rows.
    target: outputs of the target network, without gradient, or None.
    net_state: batch-norm averages of the online network after the pass.
    target_state: batch-norm averages of the target network after the pass.
  """

  online: Outputs
  target: Outputs | None
  net_state: PyTree
  target_state: PyTree


class GradResult(NamedTuple, Generic[Aux]):
  """Loss and gradient of a whole batch.

  Attributes:
    loss: scalar.
    aux: auxiliary result of the loss function.
    grads: gradient with respect to the parameters.
    forward: outputs for the whole batch and the new batch-norm averages.
  """

  loss: Array
  aux: Aux
  grads: PyTree
  forward: Forward


ForwardFn = Callable[[PyTree, Batch, Array], Forward]
LossFn = Callable[[Outputs, Outputs | None], tuple[Array, Aux]]
ValueAndGrad = Callable[
  [ForwardFn, LossFn[Aux], PyTree, Batch, Array], GradResult[Aux]
]


def accumulated_value_and_grad(
  microbatches: int,
  forward: ForwardFn,
  loss: LossFn[Aux],
  params: PyTree,
  batch: Batch,
  key: Array,
) -> GradResult[Aux]:
  """Returns loss and gradient of a batch that passes in parts.

  Args:
    microbatches: number of microbatches; must divide the rows on each device.
      Each device splits its own rows (`microbatch_index`), so that the device
      count changes no number.
    forward: `(params, rows, key)` runs the networks on some rows of the batch.
    loss: `(online, target)` returns the loss of the whole batch, and aux.
    params: parameters of the online network.
    batch: rows of the whole batch.
    key: random key of the step.
  """
  rows = jax.tree.map(lambda x: _split(x, microbatches), batch)
  key = jax.random.fold_in(key, _MICROBATCH_STREAM)
  keys = jax.random.split(key, microbatches)

  parts = jax.lax.map(lambda part: forward(params, *part), (rows, keys))
  online, target = jax.tree.map(_join, (parts.online, parts.target))
  (value, aux), output_grads = jax.value_and_grad(loss, has_aux=True)(
    online, target
  )

  def backward(grads, part):
    rows, key, output_grads = part
    _, vjp = jax.vjp(lambda p: forward(p, rows, key).online, params)
    return jax.tree.map(jnp.add, grads, vjp(output_grads)[0]), None

  output_grads = jax.tree.map(lambda x: _split(x, microbatches), output_grads)
  zeros = jax.tree.map(jnp.zeros_like, params)
  grads, _ = jax.lax.scan(backward, zeros, (rows, keys, output_grads))
  net_state, target_state = jax.tree.map(
    _mean_state, (parts.net_state, parts.target_state)
  )
  outputs = Forward(online, target, net_state, target_state)
  return GradResult(value, aux, grads, outputs)


def microbatch_index(rows: int, microbatches: int) -> np.ndarray:
  """Returns the microbatch of each row, int [rows]: its digit sum.

  Labelled rows come at even distances. By the row number alone they would all
  fall into the same microbatches wherever `microbatches` and that distance
  share a factor, and batch norm would see them apart from the others.
  """
  row, total = np.arange(rows), np.zeros(rows, int)
  base = max(microbatches, 2)
  while row.any():
    total += row % base
    row //= base
  return total % microbatches


def _split(x: Array, parts: int) -> Array:
  """Rows [N, ...] as [parts, N / parts, ...]; no row leaves its device."""
  rows = x.reshape(x.shape[0] // parts, parts, *x.shape[1:])
  # Row j of a group whose first row is in part s is in part j + s.
  first = microbatch_index(x.shape[0], parts)[::parts, None]
  return jnp.swapaxes(_take_rows(rows, np.arange(parts) - first), 0, 1)


def _join(x: Array) -> Array:
  """Inverse of `_split`."""
  parts, groups = x.shape[:2]
  first = microbatch_index(parts * groups, parts)[::parts, None]
  rows = _take_rows(jnp.swapaxes(x, 0, 1), np.arange(parts) + first)
  return rows.reshape(parts * groups, *x.shape[2:])


def _take_rows(rows: Array, place: np.ndarray) -> Array:
  """Takes of each group [G, parts, ...] the rows at `place` modulo parts."""
  place = (place % rows.shape[1]).reshape(*place.shape, *[1] * (rows.ndim - 2))
  return jnp.take_along_axis(rows, jnp.asarray(place, jnp.int32), axis=1)


def _mean_state(x: Array) -> Array:
  """Mean over the microbatches; counters agree."""
  return jnp.mean(x, axis=0) if jnp.issubdtype(x.dtype, jnp.floating) else x[0]
