"""SemPPL: positives from augmentations and from predicted labels.

Bosnjak et al., "SemPPL: Predicting pseudo-labels for better contrastive
representations", ICLR 2023, arXiv 2301.05158. Its parent is ReLICv2 (Tomasev
et al., arXiv 2201.05119). The authors released no training code; what their
text leaves open is a field of `config.semppl`, and the docstrings say which.

One step: the target embeddings of labelled rows enter a queue per large view;
every unlabelled row gets a pseudo-label by k-NN votes over the queues; every
row with a label draws semantic positives of that label; the loss contrasts
both kinds of positives against the same few negatives.
"""

from collections.abc import Iterator
import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array
import ml_collections

from semppl_jax.config import durations
from semppl_jax.config.constraints import (
  Constraints,
  COUNT,
  must,
  NON_NEGATIVE,
  RunDims,
)
from semppl_jax.methods import (
  knn,
  memory_bank as memory_bank_lib,
  pairwise_contrast,
  pseudo_labels,
  requirements,
)
from semppl_jax.methods.base import Inputs, LossResult, Method, MethodContext
from semppl_jax.runtime import mesh as mesh_lib


def make(config: ml_collections.ConfigDict, context: MethodContext) -> Method:
  """Builds SemPPL from `config.semppl`."""
  s, mesh = config.semppl, context.mesh
  large = config.views.large.count
  init_memory = functools.partial(
    memory_bank_lib.empty,
    views=large,
    rows=durations.queue_rows(s.queue, config.batch_size),
    dim=config.network.projector.output,
    dtype=jnp.dtype(config.network.precision),
  )
  predict_labels = pseudo_labels.make_labeler(s, mesh)
  contrast_fn = pairwise_contrast.make_contrast(s, config, context)

  def loss(inputs: Inputs) -> LossResult:
    batch = inputs.batch
    negative_key, draw_key = jax.random.split(inputs.key)
    contrast = contrast_fn(inputs, negative_key)
    l_augm, i_augm = contrast.augmentation
    queue = memory_bank_lib.push(
      inputs.memory, contrast.target, batch.label, batch.index, mesh
    )
    labels, metrics = predict_labels(
      jax.lax.stop_gradient(contrast.online), batch, queue
    )
    l_sempos, i_sempos = jnp.float32(0), jnp.float32(0)
    if s.semantic_positives:
      exclude = (
        batch.index if s.exclude_self else jnp.full_like(batch.index, -1)
      )
      drawn = knn.draw_same_label(
          draw_key, queue.label, queue.index, labels.label, exclude,
          (large, s.num_positives),
      )  # fmt: skip
      positive = memory_bank_lib.take(queue, drawn.slot, mesh)
      valid = drawn.valid.astype(jnp.float32)
      labels = labels._replace(positive_ids=_identities(queue, drawn, mesh))
      l_sempos, i_sempos = contrast.pair_losses(positive, valid)
      metrics['semantic/anchors'] = jnp.mean(valid)
    total = s.contrast_weight * (l_augm + s.semantic_weight * l_sempos)
    total += s.invariance_weight * (i_augm + i_sempos)
    metrics |= {
      'loss/augmentation': l_augm,
      'loss/semantic': l_sempos,
      'loss/invariance_augmentation': i_augm,
      'loss/invariance_semantic': i_sempos,
      'queue/fill': queue.size.astype(jnp.float32) / queue.label.shape[0],
    }
    return LossResult(total, queue, metrics, labels)

  return Method(
    name='semppl',
    heads=('projector', 'predictor'),
    target='ema',
    bn_groups='view',
    init_memory=init_memory,
    memory_sharding=memory_bank_lib.sharding(mesh),
    loss=loss,
  )


def _identities(
  queue: memory_bank_lib.Queue, drawn: knn.Draw, mesh: Mesh
) -> Array:
  """Returns the images in the drawn slots [B, L x P]; -1 without a draw."""
  # Else the compiler splits the identities, and sums over the devices.
  index = jax.lax.with_sharding_constraint(
    queue.index, mesh_lib.replicated(mesh)
  )
  slot = jax.lax.with_sharding_constraint(
    drawn.slot.reshape(len(drawn.slot), -1), mesh_lib.sharded(mesh)
  )
  return jnp.where(drawn.valid[:, None], index[slot], memory_bank_lib.EMPTY)


_SHARED = pairwise_contrast.constraints('semppl')
FIELDS = Constraints(
  ranges={
    **_SHARED.ranges,
    'semppl.semantic_weight': NON_NEGATIVE,
    'semppl.num_positives': COUNT,
    'semppl.k': COUNT,
  },
  choices={
    **_SHARED.choices,
    'semppl.pseudo_labels': ('knn', 'none', 'oracle'),
    'semppl.vote_views': ('all', 'single'),
    'semppl.tie': ('similarity', 'smallest_class'),
  },
)


def problems(config: ml_collections.ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence for each field of `config.semppl` that cannot work."""
  s, size = config.semppl, config.batch_size
  yield from pairwise_contrast.problems(config, 'semppl')
  try:
    rows = durations.queue_rows(s.queue, size)
  except ValueError as error:
    yield f'config.semppl.queue={s.queue!r} is not a queue size. {error}'
    return
  if rows < 1:
    yield must(config, 'semppl.queue', 'be one or more rows')
    return
  if rows % dims.device_count:
    yield must(
      config,
      'semppl.queue',
      f'be a multiple of the {dims.device_count} devices, and has {rows} rows',
    )
  expected = requirements.labels_per_batch(config, dims)
  if expected is not None and rows < expected:
    yield must(
      config,
      'semppl.queue',
      f'hold the {expected} labels of one batch, and has {rows} rows',
    )
  if s.k > rows:
    yield must(config, 'semppl.k', f'be at most the {rows} rows of the queue')
