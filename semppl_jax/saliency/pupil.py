"""What takes steps of learning, on batches that may be flipped."""

from collections.abc import Callable
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from semppl_jax.optim import optimizers
from semppl_jax.saliency import network

DECAY = 1e-4  # Weight decay.


class State(NamedTuple):
  """Weights, and the moments of Adam."""

  params: network.Params
  moments: optax.OptState


class Pupil(NamedTuple):
  """A network that learns.

  Attributes:
    start: from parameters to a state.
    train: `(state, images, targets, flip, rate)` to a state, the loss and the
      predictions of the images as they are. Images are uint8 [B, S, S, 3] and
      targets uint8 [B, S / 2, S / 2, H]; flip is bool [B].
  """

  start: Callable[[network.Params], State]
  train: Callable[..., tuple[State, jax.Array, jax.Array]]


@functools.lru_cache(2)  # One compilation for all stages of the same heads.
def make(settings: network.Settings) -> Pupil:
  """Returns the pupil of a network; its step is compiled once for all rates."""
  apply = network.make(settings).apply
  optimizer = optimizers.adam(weight_decay=DECAY)

  def loss_of(params, images, targets):
    logits = apply(params, images)
    losses = optax.sigmoid_binary_cross_entropy(logits, targets)
    return losses.mean(), jax.nn.sigmoid(logits)

  @jax.jit
  def train(state, images, targets, flip, rate):
    images, targets = flipped(images, flip), flipped(targets, flip)
    targets = targets.astype(jnp.float32) / 255
    (loss, predicted), gradient = jax.value_and_grad(loss_of, has_aux=True)(
      state.params, images, targets
    )
    updates, moments = optimizer.update(
      gradient, state.moments, state.params, rate=rate
    )
    state = State(optax.apply_updates(state.params, updates), moments)
    return state, loss, flipped(predicted, flip)

  return Pupil(lambda params: State(params, optimizer.init(params)), train)


def flipped(x: jax.Array, flip: jax.Array) -> jax.Array:
  """Mirrors the columns of those images [B, h, w, C] that `flip` [B] says."""
  return jnp.where(flip[:, None, None, None], x[:, :, ::-1], x)
