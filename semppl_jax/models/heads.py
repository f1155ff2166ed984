"""What stands on the encoder: perceptrons, prototypes and a classifier."""

from collections.abc import Sequence
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from semppl_jax.losses.contrastive import normalize
from semppl_jax.models.backbones.batch_norm import BatchNorm

Array = jax.Array


class Head(hk.Module):
  """A perceptron with batch norm: BYOL's and SemPPL's, or PAWS's deeper one.

  Always in float32: beside the convolutions it costs nothing, and embeddings
  rounded to bfloat16 would be compared with each other.
  """

  def __init__(
    self,
    widths: Sequence[int],
    decay_rate: float,
    eps: float,
    name: str,
    last_bias: bool = False,
    input_norm: bool = False,
  ):
    """Makes a head of hidden layers, and an output, of so many units."""
    super().__init__(name=name)
    self.widths, self.last_bias = tuple(widths), last_bias
    self.input_norm = input_norm
    self.decay_rate, self.eps = decay_rate, eps

  def __call__(
    self, x: Array, is_training: bool, groups: int
  ) -> tuple[Array, Array]:
    """Maps [N, F] to its output [N, D] and its first hidden layer [N, H]."""
    *hidden, output = self.widths
    layers = []
    if self.input_norm:
      x = BatchNorm(self.decay_rate, self.eps)(x, is_training, groups)
    # Made here and not above: DeepMind's files name them `projector/linear`.
    for width in hidden:
      x = hk.Linear(width)(x)
      x = BatchNorm(self.decay_rate, self.eps)(x, is_training, groups)
      x = jax.nn.relu(x)
      layers.append(x)
    return hk.Linear(output, with_bias=self.last_bias)(x), layers[0]


def perceptron(config: Any, name: str) -> Head:
  """Makes the `'projector'` or the `'predictor'` of `config.network`."""
  p = config.projector
  if name == 'projector':
    widths = (*(p.hidden,) * (p.layers - 1), p.output)
    return Head(widths, config.bn_decay, config.bn_eps, name, p.last_bias)
  q = config.predictor
  widths = (q.hidden, p.output)
  return Head(
    widths, config.bn_decay, config.bn_eps, name, q.last_bias, q.input_norm
  )


def prototypes(config: Any) -> hk.Linear:
  """Makes SwAV's prototypes, one unit vector per output (arXiv 2006.09882)."""
  return hk.Linear(
    config.prototypes, with_bias=False, w_init=_unit_columns, name='prototypes'
  )


def _unit_columns(shape: Sequence[int], dtype: Any) -> Array:
  return normalize(hk.initializers.RandomNormal()(shape, dtype).T).T


def classifier(config: Any) -> hk.Linear:
  """Makes a linear classifier."""
  # From zero, as PAWS and SimCLRv2 fine-tune: the first steps then cannot
  # spoil the encoder through a random classifier.
  return hk.Linear(
    config.classifier.classes, w_init=jnp.zeros, name='classifier'
  )
