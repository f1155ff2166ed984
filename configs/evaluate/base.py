"""Every field of an evaluation, at the published settings for ImageNet.

Linear evaluation and fine-tuning follow SemPPL (arXiv 2301.05158) and PAWS
(arXiv 2104.13963), k-NN follows Wu et al. (arXiv 1805.01978), and transfer
Kornblith et al. (arXiv 1805.08974). Not yet run on ImageNet.

  python -m semppl_jax.evaluate --checkpoint=RUN --protocol=finetune \
    --config=configs/evaluate/base.py --workdir=DIR
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of every protocol."""
  c = ml_collections.ConfigDict()
  c.seed = 0
  c.batch_size = 512  # Images per step without training.

  # As in a training config; kind='run': the data of the run.
  c.data = base.get_config().data
  c.data.unlock()
  c.data.kind = 'run'

  # 0 and '': as stored with the weights.
  c.images = ml_collections.ConfigDict(dict(resize=0, crop=0, interpolation=''))

  # Share of the labelled images of each class held out for sweeps.
  c.held_out = 0.2

  c.knn = ml_collections.ConfigDict(
    dict(
      k=(1, 5, 10, 20, 200),
      temperature=0.07,
      support=('labelled', 'train'),
    )
  )

  c.soft_nn = ml_collections.ConfigDict(
    dict(
      temperature=0.1,
      embedding='projection',  # 'encoder' | 'projection' | 'prediction'.
    )
  )

  c.linear = recipe(batch_size=1024, duration='100 epochs')
  c.linear.update(learning_rates=(0.1, 0.3, 1.0), weight_decays=(0.0, 1e-4))
  # Training images: 'labelled', or 'train' for all images with a label.
  c.linear.labels = 'labelled'
  c.linear.logistic = True  # Also L-BFGS, on features in memory.
  c.linear.ridge = True  # Also least squares, in closed form.
  c.linear.regularisers = tuple(10.0**power for power in range(-6, 6))

  c.finetune = recipe(batch_size=256, duration='50 epochs')

  # SuNCEt, then soft nearest neighbours: PAWS's fine-tuning on CIFAR-10.
  c.suncet = recipe(batch_size=640, duration='30 epochs')
  c.suncet.update(optimizer='lars_paws', learning_rates=(0.1,))
  c.suncet.update(reference_batch=0, area=(0.75, 1.0), colors=True)
  c.suncet.final_learning_rate = 0.01
  c.suncet.temperature = 0.1
  c.suncet.views = 2

  # The same network on the same labels, from scratch.
  c.baseline = recipe(batch_size=256, duration='200 epochs')
  c.baseline.update(learning_rates=(0.03, 0.1, 0.3), weight_decays=(1e-4,))
  c.baseline.colors = True

  c.robustness = ml_collections.ConfigDict(
    dict(
      # For ImageNet classifiers; '': all sets in `path`.
      sets='',
      path='',  # TFDS data_dir, also with ObjectNet's unpacked archive.
      corruptions=True,  # Generated, for small test images (up to 64 px).
      images=0,  # Number of test images to corrupt; 0: all.
    )
  )

  c.transfer = ml_collections.ConfigDict(
    dict(
      sets='',  # Comma-separated names; '': all sets in `path`.
      path='',  # TFDS data_dir, also with folders of sets not in TFDS.
      regularisers=tuple(10.0 ** (-6 + 0.25 * step) for step in range(45)),
      # Also fine-tune by the recipe of `finetune`, for TFDS sets with one class
      # per image.
      finetune=False,
    )
  )
  return c.lock()


def recipe(batch_size: int, duration: str) -> ml_collections.ConfigDict:
  """Returns a training recipe; a sweep tries every pair of its values."""
  return ml_collections.ConfigDict(
    dict(
      batch_size=batch_size,
      duration=duration,  # In epochs of the labelled images.
      warmup='0 epochs',
      optimizer='sgd',
      learning_rates=(0.005, 0.01, 0.02, 0.05, 0.1),
      reference_batch=256,  # Learning rates scale by batch / this; 0: no.
      momentum=0.9,
      weight_decays=(0.0,),
      area=(0.08, 1.0),  # Area of a crop, as a share of the image.
      colors=False,  # True: color operations of the run; else crop, flip.
      classify='features',  # 'features' | 'projector_hidden' (PAWS).
    )
  )
