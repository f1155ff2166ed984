"""Where prepared data sets lie."""

import os


def home(data_dir: str) -> str:
  """Returns the folder of prepared data sets; for '' TFDS's own."""
  own = os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')
  return os.path.expanduser(data_dir or own)
