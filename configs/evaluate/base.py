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
  c.batch_size = 512  # Images per step where nothing is trained.

  # As a training config's, or the run's own with kind='run'.
  c.data = base.get_config().data
  c.data.unlock()
  c.data.kind = 'run'

  # 0 and '': as the weights say.
  c.images = ml_collections.ConfigDict(dict(resize=0, crop=0, interpolation=''))

  # Share of the labelled images of each class that a sweep is judged by.
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
  # The support: 'labelled', or 'train' for all images with a label.
  c.linear.labels = 'labelled'
  c.linear.logistic = True  # Also by L-BFGS, on features in memory.
  c.linear.ridge = True  # Also by least squares, in closed form.
  c.linear.regularisers = tuple(10.0**power for power in range(-6, 6))

  c.finetune = recipe(batch_size=256, duration='50 epochs')

  # SuNCEt, then soft nearest neighbours: PAWS's fine-tuning on CIFAR-10.
  c.suncet = recipe(batch_size=640, duration='30 epochs')
  c.suncet.update(optimizer='lars_paws', learning_rates=(0.1,))
  c.suncet.update(reference_batch=0, area=(0.75, 1.0), colours=True)
  c.suncet.final_learning_rate = 0.01
  c.suncet.temperature = 0.1
  c.suncet.views = 2

  # The same network on the same labels, from scratch.
  c.baseline = recipe(batch_size=256, duration='200 epochs')
  c.baseline.update(learning_rates=(0.03, 0.1, 0.3), weight_decays=(1e-4,))
  c.baseline.colours = True

  c.robustness = ml_collections.ConfigDict(
    dict(
      # Of a classifier of ImageNet; '': those that `path` holds.
      sets='',
      path='',  # TFDS data_dir, also of ObjectNet's unpacked archive.
      corruptions=True,  # Of small test images (up to 64 px), made on the way.
      images=0,  # Corrupt the first so many test images; 0: all.
    )
  )

  c.transfer = ml_collections.ConfigDict(
    dict(
      sets='',  # Names with commas between; '': those that `path` holds.
      path='',  # TFDS data_dir, also of the folders of sets that TFDS lacks.
      regularisers=tuple(10.0 ** (-6 + 0.25 * step) for step in range(45)),
      # Also by `finetune`'s recipe, where a set has one class per image and is
      # of tensorflow_datasets.
      finetune=False,
    )
  )
  return c.lock()


def recipe(batch_size: int, duration: str) -> ml_collections.ConfigDict:
  """Returns how a classifier is trained; every pair of a sweep is tried."""
  return ml_collections.ConfigDict(
    dict(
      batch_size=batch_size,
      duration=duration,  # Epochs are those of the labelled images.
      warmup='0 epochs',
      optimizer='sgd',
      learning_rates=(0.005, 0.01, 0.02, 0.05, 0.1),
      reference_batch=256,  # Scale the rate by batch / this; 0: do not.
      momentum=0.9,
      weight_decays=(0.0,),
      area=(0.08, 1.0),  # Share of the image that a crop shows.
      colours=False,  # The run's colour operations; else crop and flip alone.
      classify='features',  # 'features' | 'projector_hidden' (PAWS).
    )
  )
