"""The evaluation of PAWS on ImageNet, with the settings of its paper.

  python -m semppl_jax.evaluate --checkpoint=RUN --protocol=finetune \
    --config=configs/evaluate/paws.py --workdir=DIR

Hardware: as the run.
Hours: not yet run.
Expected: see the fine-tuning accuracy in the run's config. Not yet run.

Fine-tuning keeps the first layer of the projector (arXiv 2104.13963, appendix
C). The learning rate is for 10 % of the labels; for 1 % add a sweep:
--config.finetune.learning_rates='(0.005,0.01,0.02,0.05,0.1)'.
"""

import ml_collections

from configs.evaluate import base


def get_config() -> ml_collections.ConfigDict:
  """Returns the base settings with a classifier inside the projector."""
  c = base.get_config().unlock()
  c.finetune.update(classify='projector_hidden', learning_rates=(0.02,))
  return c.lock()
