"""A linear classifier of frozen features that learns beside any method.

It sees the features without their gradient and has an optimiser of its own, so
that training with and without it gives the same network. It tells, while a run
is young, what a linear evaluation would make of the encoder.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import optax

from semppl_jax.optim import optimizers

Array = jax.Array


class ProbeState(NamedTuple):
  """What a probe has learned.

  Attributes:
    params: `w` [F, C] and `b` [C], float32.
    opt_state: state of its optimiser.
  """

  params: dict[str, Array]
  opt_state: Any


class Probe(NamedTuple):
  """Pure functions of one probe.

  Attributes:
    init: `(F) -> state`; all zero. An empty state where there is no probe.
    update: `(state, features [B, V, F], label [B]) -> (state, metrics)`; rows
      with a label below 0 do not count.
  """

  init: Callable[[int], Any]
  update: Callable[[Any, Array, Array], tuple[Any, dict[str, Array]]]


def make(config: ml_collections.ConfigDict, classes: int) -> Probe:
  """Builds the probe of `config.probe`.

  Args:
    config: `config.probe`.
    classes: C.

  Raises:
    ValueError: a probe of less than two classes.
  """
  if not config.enabled:
    return Probe(lambda features: (), lambda state, features, label: ((), {}))
  if classes < 2:
    raise ValueError(
      f'config.probe needs 2 or more classes, and there are {classes};'
      ' set config.probe.enabled=False.'
    )
  optimizer = optimizers.adam(weight_decay=0.0)

  def init(features: int) -> ProbeState:
    params = {
      'w': jnp.zeros((features, classes), jnp.float32),
      'b': jnp.zeros((classes,), jnp.float32),
    }
    return ProbeState(params, optimizer.init(params))

  def update(state: ProbeState, features: Array, label: Array):
    x = jax.lax.stop_gradient(features)

    def loss_fn(params):
      each, right, known = _judge(_logits(params, x), label)
      count = jnp.maximum(jnp.sum(known), 1.0)
      return jnp.sum(each) / count, jnp.sum(right) / count

    params = state.params
    (loss, accuracy), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
    updates, opt_state = optimizer.update(
      grads, state.opt_state, params, rate=config.learning_rate
    )
    params = optax.apply_updates(params, updates)
    measured = jnp.any(label >= 0)
    metrics = {
      'probe/loss': jnp.where(measured, loss, jnp.nan),
      'probe/accuracy': jnp.where(measured, accuracy, jnp.nan),
    }
    return ProbeState(params, opt_state), metrics

  return Probe(init, update)


def logits(state: ProbeState, features: jax.typing.ArrayLike) -> Array:
  """Classifies features [..., F]: logits [..., C]."""
  return _logits(state.params, jnp.asarray(features))


def _logits(params: dict[str, Array], features: Array) -> Array:
  # Of one length, so that one learning rate suits every network.
  length = jnp.linalg.norm(features, axis=-1, keepdims=True)
  scale = jnp.sqrt(jnp.float32(features.shape[-1]))
  x = features * (scale / jnp.maximum(length, 1e-12))
  z = jnp.matmul(x, params['w'])
  return z + params['b'].reshape((1,) * (z.ndim - 1) + params['b'].shape)


def _judge(z: Array, label: Array) -> tuple[Array, Array, Array]:
  """Cross-entropy, success and weight of each view [B, V]."""
  shape = z.shape[:2]
  known = jnp.broadcast_to((label >= 0)[:, None], shape).astype(jnp.float32)
  truth = jnp.broadcast_to(jnp.maximum(label, 0)[:, None], shape)
  each = optax.softmax_cross_entropy_with_integer_labels(z, truth)
  right = (jnp.argmax(z, axis=-1) == truth).astype(jnp.float32)
  return each * known, right * known, known
