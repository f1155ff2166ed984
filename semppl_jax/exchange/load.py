"""Loader of weights from a run, a directory of weights, or a foreign file."""

import pathlib

from semppl_jax.exchange import detect, run_checkpoint, weights_dir
from semppl_jax.models.weights import Weights, WeightsError


def load(path: str | pathlib.Path) -> Weights:
  """Reads the network of a run, a directory of weights or a file.

  Args:
    path: a run, `RUN/checkpoints/STEP`, the output of `import_weights`, or a
      file that `import_weights` reads.

  Raises:
    WeightsError: it is not found, or cannot be read.
  """
  place = pathlib.Path(path).expanduser()
  if not place.exists():
    raise WeightsError(f'{place} not found.')
  if place.is_file():
    return detect.import_file(place).weights
  if weights_dir.is_weights_dir(place):
    return weights_dir.read(place)
  if run_checkpoint.is_run(place):
    return run_checkpoint.read(place)
  raise WeightsError(
    f'{place} is neither a run (checkpoints/ not found) nor a directory of'
    f' weights ({weights_dir.FILE} not found).'
  )
