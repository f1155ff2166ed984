"""Online linear probe: a linear classifier of the features during training.

No gradient reaches the features, and the probe has its own optimizer, so that
training is the same with and without it. Its accuracy is an early estimate of
the linear evaluation.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree
import ml_collections
import numpy as np
import optax

from semppl_jax.optim import optimizers

Metrics = dict[str, Float[Array, '']]


class ProbeState(NamedTuple):
  """State of a probe.

  Attributes:
    params: `w` [F, C] and `b` [C], float32.
    opt_state: state of its optimizer.
  """

  params: dict[str, Array]
  opt_state: PyTree


class Probe(NamedTuple):
  """Pure functions of one probe; its state is () where there is none.

  Attributes:
    init: `(F) -> state`; all zero.
    update: `(state, features [B, V, F], label [B]) -> (state, metrics)`; rows
      with a label below 0 do not count.
  """

  init: Callable[[int], PyTree]
  update: Callable[[PyTree, Array, Array], tuple[PyTree, Metrics]]


def make_probe(config: ml_collections.ConfigDict, classes: int) -> Probe:
  """Builds the probe.

  Args:
    config: `config.probe`.
    classes: C.

  Raises:
    ValueError: fewer than two classes.
  """
  if not config.enabled:
    return Probe(lambda features: (), lambda state, features, label: ((), {}))
  if classes < 2:
    raise ValueError(
      f'config.probe needs at least 2 classes, got {classes}; set'
      ' config.probe.enabled=False.'
    )
  optimizer = optimizers.adam(weight_decay=0.0)

  def init(features: int) -> ProbeState:
    params = {
      'w': jnp.zeros((features, classes), jnp.float32),
      'b': jnp.zeros((classes,), jnp.float32),
    }
    return ProbeState(params, optimizer.init(params))

  def update(
    state: ProbeState, features: Float[Array, 'B V F'], label: Int[Array, 'B']
  ) -> tuple[ProbeState, Metrics]:
    x = jax.lax.stop_gradient(features)
    known = label >= 0
    weight = jnp.broadcast_to(known[:, None], x.shape[:2]).astype(jnp.float32)
    target = jnp.broadcast_to(jnp.maximum(label, 0)[:, None], x.shape[:2])

    def loss_fn(params):
      z = _logits(params, x)
      loss = optax.softmax_cross_entropy_with_integer_labels(z, target)
      correct = (jnp.argmax(z, axis=-1) == target).astype(jnp.float32)
      count = jnp.maximum(jnp.sum(weight), 1.0)
      return jnp.sum(loss * weight) / count, jnp.sum(correct * weight) / count

    params = state.params
    (loss, accuracy), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
    updates, opt_state = optimizer.update(
      grads, state.opt_state, params, learning_rate=config.learning_rate
    )
    params = optax.apply_updates(params, updates)
    metrics = {'probe/loss': loss, 'probe/accuracy': accuracy}
    any_label = jnp.any(known)
    return ProbeState(params, opt_state), {
      name: jnp.where(any_label, value, jnp.nan)
      for name, value in metrics.items()
    }

  return Probe(init, update)


def logits(
  state: ProbeState, features: Float[Array | np.ndarray, '*rows F']
) -> Float[Array, '*rows C']:
  """Returns logits [..., C] of features [..., F]."""
  return _logits(state.params, jnp.asarray(features))


def _logits(params: dict[str, Array], features: Array) -> Array:
  # Features of one norm, so that one learning rate suits every network.
  norm = jnp.linalg.norm(features, axis=-1, keepdims=True)
  scale = jnp.sqrt(jnp.float32(features.shape[-1]))
  x = features * (scale / jnp.maximum(norm, 1e-12))
  z = jnp.matmul(x, params['w'])
  return z + params['b'].reshape((1,) * (z.ndim - 1) + params['b'].shape)
