"""The gradient of a loss over a whole batch, in one pass or in several parts.

A contrastive loss is not a mean over rows, so that gradients of small batches
do not add up to that of a large one. In parts, the network runs twice: first
for the outputs of every part, without keeping anything for a backward pass;
the loss, its memory and its gradient by the outputs are then those of the whole
batch; the second run carries that gradient back, part by part (Gao et al.,
arXiv 2101.06983). Loss, learning rate, queue and moving averages mean what they
mean in one pass, for a third more arithmetic and one reduction of the gradient
over the devices per part. What cannot be the same is batch norm: a part is
normalised by its own statistics, and the averages get the mean over the parts
of one update each.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from semppl_jax.data.batch import Batch
from semppl_jax.models.network import Outputs

Array = jax.Array
Tree = Any

# Apart from what `colour` and the loss draw from the key of a step.
_PARTS_STREAM = 4


class Images(NamedTuple):
  """What the networks see of a batch, coloured and normalised, float32.

  Attributes:
    views: large and small ones, [B, L, H, W, 3] and [B, S, h, w, 3].
    support: [S, v, H, W, 3], or None.
  """

  views: tuple[Array, Array]
  support: Array | None


class Passes(NamedTuple):
  """How a batch goes through the networks.

  Attributes:
    colour: `(batch, key) -> Images`, key that of the step or of a part.
    online: `(params, Images) -> (Outputs, net_state)`.
    target: `Images -> (Outputs or None, target_state)`, without gradient.
    loss: `(online, forwarded) -> (scalar, anything)`, of the whole batch.
  """

  colour: Callable[[Batch, Array], Images]
  online: Callable[[Tree, Images], tuple[Outputs, Tree]]
  target: Callable[[Images], tuple[Outputs | None, Tree]]
  loss: Callable[[Outputs, Outputs | None], tuple[Array, Any]]


class Result(NamedTuple):
  """What a batch gives.

  Attributes:
    loss: scalar.
    told: what came with the loss.
    online: outputs for the whole batch.
    grads: gradient by the parameters.
    net_state: batch-norm averages after the batch.
    target_state: those of the target network.
  """

  loss: Array
  told: Any
  online: Outputs
  grads: Tree
  net_state: Tree
  target_state: Tree


Gradient = Callable[[Passes, Tree, Batch, Array], Result]


def make(parts: int) -> Gradient:
  """Returns `(passes, params, batch, key) -> Result`.

  Args:
    parts: how many the batch is cut into; must divide the rows on each device.
      Each part has one of every so many neighbours, see `part_of`: the device
      count does not matter.
  """
  if parts == 1:
    return _in_one
  return lambda *args: _in_parts(parts, *args)


def _in_one(passes: Passes, params: Tree, batch: Batch, key: Array) -> Result:
  images = passes.colour(batch, key)
  forwarded, target_state = passes.target(images)

  def loss_fn(params):
    online, net_state = passes.online(params, images)
    loss, told = passes.loss(online, forwarded)
    return loss, (told, online, net_state)

  (loss, (told, online, net_state)), grads = jax.value_and_grad(
    loss_fn, has_aux=True
  )(params)
  return Result(loss, told, online, grads, net_state, target_state)


def _in_parts(
  parts: int, passes: Passes, params: Tree, batch: Batch, key: Array
) -> Result:
  cut = jax.tree.map(lambda x: _cut(x, parts), batch)
  keys = jax.random.split(jax.random.fold_in(key, _PARTS_STREAM), parts)

  def forward(part):
    images = passes.colour(*part)
    return passes.online(params, images), passes.target(images)

  outputs, states = _swap(jax.lax.map(forward, (cut, keys)))
  online, forwarded = jax.tree.map(_joined, outputs)
  (loss, told), by_outputs = jax.value_and_grad(passes.loss, has_aux=True)(
    online, forwarded
  )

  def backward(grads, part):
    images = passes.colour(*part[:2])
    _, back = jax.vjp(lambda p: passes.online(p, images)[0], params)
    return jax.tree.map(jnp.add, grads, back(part[2])[0]), None

  grads, _ = jax.lax.scan(
    backward,
    jax.tree.map(jnp.zeros_like, params),
    (cut, keys, jax.tree.map(lambda x: _cut(x, parts), by_outputs)),
  )
  net_state, target_state = jax.tree.map(_mean_state, states)
  return Result(loss, told, online, grads, net_state, target_state)


def _swap(pairs):
  """From ((a, b), (c, d)) to ((a, c), (b, d))."""
  return tuple(zip(*pairs, strict=True))


def part_of(rows: int, parts: int) -> np.ndarray:
  """Returns the part of each row, int [rows]: the sum of the row's digits.

  Labelled rows come at even distances. By the row alone, they would all be in
  the same parts where `parts` and their distance share a factor, and batch norm
  would see them apart from the others.
  """
  row, total = np.arange(rows), np.zeros(rows, int)
  base = max(parts, 2)
  while row.any():
    total += row % base
    row //= base
  return total % parts


def _cut(x: Array, parts: int) -> Array:
  """Rows [N, ...] as [parts, N / parts, ...]; no row leaves its device."""
  rows = x.reshape(x.shape[0] // parts, parts, *x.shape[1:])
  # Row j of neighbours whose first is in part s is in part j + s.
  first = part_of(x.shape[0], parts)[::parts, None]
  return jnp.swapaxes(_picked(rows, np.arange(parts) - first), 0, 1)


def _joined(x: Array) -> Array:
  """The inverse of `_cut`."""
  parts, groups = x.shape[:2]
  first = part_of(parts * groups, parts)[::parts, None]
  rows = _picked(jnp.swapaxes(x, 0, 1), np.arange(parts) + first)
  return rows.reshape(parts * groups, *x.shape[2:])


def _picked(rows: Array, place: np.ndarray) -> Array:
  """Of each group [G, parts, ...] the rows at `place` modulo parts."""
  place = (place % rows.shape[1]).reshape(*place.shape, *[1] * (rows.ndim - 2))
  return jnp.take_along_axis(rows, jnp.asarray(place, jnp.int32), axis=1)


def _mean_state(x: Array) -> Array:
  """Mean over the parts; counters agree."""
  return jnp.mean(x, axis=0) if jnp.issubdtype(x.dtype, jnp.floating) else x[0]
