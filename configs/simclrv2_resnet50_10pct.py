r"""SimCLRv2, ResNet-50, ImageNet.

  python -m semppl_jax.main --config=configs/simclrv2_resnet50_10pct.py \
    --workdir=DIR

Hardware: 128 TPU v3 cores (v3:8x8).
Hours: not yet run.
Expected: not yet run. Fine-tuning starts in the middle of the deeper head
(arXiv 2006.10029): --config.finetune.classify=projector_hidden.
"""

import math

import ml_collections

from configs import simclr_resnet50_10pct


def get_config() -> ml_collections.ConfigDict:
  """Returns SimCLR with a deeper head and the square-root learning rate."""
  c = simclr_resnet50_10pct.get_config()
  c.network.projector.layers = 3
  c.optimizer.reference_batch = 0
  c.optimizer.learning_rate = 0.1 * math.sqrt(c.batch_size)
  c.optimizer.weight_decay = 1e-4
  return c
