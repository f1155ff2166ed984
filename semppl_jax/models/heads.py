"""Heads on the encoder: perceptrons, prototypes and a linear classifier."""

from collections.abc import Sequence
import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float
from ml_collections import ConfigDict

from semppl_jax.losses.contrastive import normalize
from semppl_jax.models.backbones.batch_norm import BatchNorm


@dataclasses.dataclass
class Head(hk.Module):
  """Perceptron with batch norm, as BYOL, SemPPL and PAWS use.

  It always computes in float32: the cost beside the convolutions is small, and
  embeddings rounded to bfloat16 would be compared with each other. `widths` are
  those of the layers, the output last.
  """

  widths: Sequence[int]
  decay_rate: float
  eps: float
  name: str
  last_bias: bool = False
  input_norm: bool = False

  def __call__(
    self, x: Float[Array, 'N F'], is_training: bool, groups: int
  ) -> tuple[Float[Array, 'N D'], Float[Array, 'N H']]:
    """Returns the output [N, D] and the first hidden layer [N, H]."""
    *hidden, output = self.widths
    layers = []
    if self.input_norm:
      x = BatchNorm(self.decay_rate, self.eps)(x, is_training, groups)
    # Built here and not above: DeepMind's files name them `projector/linear`.
    for width in hidden:
      x = hk.Linear(width)(x)
      x = BatchNorm(self.decay_rate, self.eps)(x, is_training, groups)
      x = jax.nn.relu(x)
      layers.append(x)
    return hk.Linear(output, with_bias=self.last_bias)(x), layers[0]


def perceptron(config: ConfigDict, name: str) -> Head:
  """Builds the `'projector'` or the `'predictor'` of `config.network`."""
  p, q = config.projector, config.predictor
  if name == 'projector':
    widths = (*(p.hidden,) * (p.layers - 1), p.output)
    return Head(widths, config.bn_decay, config.bn_eps, name, p.last_bias)
  widths = (q.hidden, p.output)
  return Head(
    widths, config.bn_decay, config.bn_eps, name, q.last_bias, q.input_norm
  )


def prototypes(config: ConfigDict) -> hk.Linear:
  """Builds SwAV's prototypes, one unit vector per output (arXiv 2006.09882)."""
  return hk.Linear(
    config.prototypes, with_bias=False, w_init=_unit_columns, name='prototypes'
  )


def _unit_columns(shape: Sequence[int], dtype: DTypeLike) -> Array:
  return normalize(hk.initializers.RandomNormal()(shape, dtype).T).T


def classifier(config: ConfigDict) -> hk.Linear:
  """Builds a linear classifier."""
  # Zeros, as in the fine-tuning of PAWS and SimCLRv2: a random classifier
  # would send its gradient into the encoder in the first steps.
  return hk.Linear(
    config.classifier.classes, w_init=jnp.zeros, name='classifier'
  )
