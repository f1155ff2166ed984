"""Cross-entropy on the labelled rows alone.

From scratch, it is the baseline of all methods; from pre-trained weights, it is
fine-tuning; with a frozen encoder, linear evaluation. The classifier is linear
on the encoder's output (as SemPPL's, arXiv 2301.05158) or on the first layer of
the projector (as PAWS's, arXiv 2104.13963).
"""

from collections.abc import Iterator

import jax.numpy as jnp
import ml_collections
import optax

from semppl_jax.config.constraints import must, RunDims
from semppl_jax.methods.base import Inputs, LossResult, Method, MethodContext


def make(config: ml_collections.ConfigDict, context: MethodContext) -> Method:
  """Builds the supervised method of `config.supervised`."""
  del context
  hidden = config.network.classifier.input == 'projector_hidden'
  return Method(
    name='supervised',
    heads=('projector', 'classifier') if hidden else ('classifier',),
    frozen=config.supervised.frozen,
    unlabelled=False,
    bn_groups='view',
    loss=_loss,
  )


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence if untrained features would be frozen."""
  del dims
  if config.supervised.frozen and not config.init_from:
    yield must(
      config, 'supervised.frozen', 'be False without weights in init_from'
    )


def _loss(inputs: Inputs) -> LossResult:
  """Computes the mean cross-entropy over labelled rows and their views."""
  logits, batch = inputs.online.logits, inputs.batch
  assert logits is not None  # [B, V, C]
  labelled = (batch.label >= 0).astype(jnp.float32)[:, None]
  label = jnp.broadcast_to(batch.label[:, None], logits.shape[:2])
  each = optax.softmax_cross_entropy_with_integer_labels(
    logits, jnp.maximum(label, 0)
  )
  correct = (jnp.argmax(logits, axis=-1) == label).astype(jnp.float32)
  count = jnp.maximum(jnp.sum(labelled) * logits.shape[1], 1.0)
  loss = jnp.sum(each * labelled) / count
  metrics = {
    'loss/cross_entropy': loss,
    'supervised/accuracy': jnp.sum(correct * labelled) / count,
  }
  return LossResult(loss, inputs.memory, metrics)
