"""Cross-entropy on the labelled rows alone.

From scratch, it is what any method must beat; from pre-trained weights, it is
fine-tuning; with a frozen encoder, linear evaluation. The classifier is linear
on the encoder's output (as SemPPL's, arXiv 2301.05158) or on the first layer of
the projector (as PAWS's, arXiv 2104.13963).
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import ml_collections
import optax

from semppl_jax.batch import Batch
from semppl_jax.methods.method import LossResult, Memory, Method
from semppl_jax.network import Outputs


def make(config: ml_collections.ConfigDict, mesh: Mesh) -> Method:
  """Builds the supervised method of `config.supervised`."""
  del mesh
  hidden = config.network.classifier.input == 'projector_hidden'
  return Method(
    name='supervised',
    heads=('projector', 'classifier') if hidden else ('classifier',),
    target='none',
    frozen=config.supervised.frozen,
    bn_groups='view',
    init_memory=lambda: (),
    memory_sharding=(),
    loss=_loss,
  )


def _loss(
  online: Outputs,
  target: Outputs | None,
  batch: Batch,
  memory: Memory,
  key: jax.Array,
) -> LossResult:
  """Mean cross-entropy over the labelled rows and their views."""
  del target, key
  assert online.logits is not None
  logits = online.logits  # [B, V, C]
  labelled = (batch.label >= 0).astype(jnp.float32)[:, None]
  label = jnp.broadcast_to(batch.label[:, None], logits.shape[:2])
  each = optax.softmax_cross_entropy_with_integer_labels(
    logits, jnp.maximum(label, 0)
  )
  right = (jnp.argmax(logits, axis=-1) == label).astype(jnp.float32)
  count = jnp.maximum(jnp.sum(labelled) * logits.shape[1], 1.0)
  loss = jnp.sum(each * labelled) / count
  metrics = {
    'loss/cross_entropy': loss,
    'supervised/accuracy': jnp.sum(right * labelled) / count,
  }
  return LossResult(loss, memory, metrics)
