"""Small data sets as tensorflow_datasets prepares them, with real features."""

import numpy as np
import tensorflow_datasets as tfds


def prepare(data_dir, name, splits, **more) -> None:
  """Writes splits of images, given the label or labels of each.

  The features are those of the installed data set; what is neither image nor
  label nor text is zero.

  Args:
    data_dir: folder of prepared data sets.
    name: TFDS name, with its config.
    splits: labels of the images of each split.
    more: features besides, by name a list for each split.
  """
  builder = tfds.builder(name, data_dir=str(data_dir))
  features = builder.info.features

  def examples(split):
    for number, label in enumerate(splits[split]):
      example = {
        key: _value(feature, f'{split}{number}', number)
        for key, feature in features.items()
      }
      key = 'label' if 'label' in features else 'labels'
      example[key] = label
      example |= {key: values[split][number] for key, values in more.items()}
      yield f'{split}{number:05}', example

  base, _, config = name.partition('/')
  tfds.dataset_builders.store_as_tfds_dataset(
    name=base,
    config=config or None,
    version=str(builder.version),
    features=features,
    split_datasets={split: examples(split) for split in splits},
    data_dir=str(data_dir),
    disable_shuffling=True,
  )


def _value(feature, name, number):
  if isinstance(feature, tfds.features.Image):
    height, width, channels = (
      x or default for x, default in zip(feature.shape, (5, 4, 3), strict=True)
    )
    return np.full((height, width, channels), number % 200, np.uint8)
  if isinstance(feature, tfds.features.Text):
    return f'{name}.jpg'
  if isinstance(feature, tfds.features.ClassLabel):
    return 0
  if isinstance(feature, tfds.features.BBoxFeature):
    return tfds.features.BBox(0.0, 0.0, 1.0, 1.0)
  return []
