"""Every protocol on the run of the quick start, in minutes on a CPU.

  python -m semppl_jax.evaluate --checkpoint=runs/quickstart --protocol=all \
    --baseline --config=configs/evaluate/quickstart.py --workdir=DIR

Hardware: 2 CPU cores.
Hours: 0.1 (5.8 minutes).
Expected: fine-tuned 48.6 %, labels only 49.7 % (seed 0, one run each);
`benchmarks/finetunes.py` has three seeds: 50.4 ± 0.9 and 48.6 ± 1.5 %.
"""

import ml_collections

from configs.evaluate import base


def get_config() -> ml_collections.ConfigDict:
  """Returns settings with few epochs and at most two learning rates."""
  c = base.get_config()
  c.linear.update(batch_size=64, duration='30 epochs', reference_batch=0)
  c.linear.update(learning_rates=(0.03, 0.1), weight_decays=(0.0,))
  # Color operations reduce overfitting on six hundred images of 32 px. The
  # learning rate is that of the quick start, as for the baseline: 120 held-out
  # images are too few to select one.
  c.finetune.update(batch_size=64, duration='100 epochs', reference_batch=0)
  c.finetune.update(optimizer='adam', learning_rates=(5e-3,))
  c.finetune.update(area=(0.5, 1.0), colors=True)
  c.suncet.update(batch_size=128, duration='50 epochs', optimizer='adam')
  c.suncet.update(learning_rates=(1e-3,), area=(0.5, 1.0))
  c.suncet.final_learning_rate = 0.0
  # Steps and learning rate of the quick start.
  c.baseline.update(batch_size=64, duration='4000 steps', reference_batch=0)
  c.baseline.update(optimizer='adam', learning_rates=(5e-3,))
  c.baseline.update(area=(0.5, 1.0), weight_decays=(0.0,))
  c.robustness.images = 500
  return c
