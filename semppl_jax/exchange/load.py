"""Weights from wherever they are: a run, imported weights, a foreign file."""

import pathlib

from semppl_jax.exchange import detect, run_checkpoint, weights_dir
from semppl_jax.models.weights import Weights, WeightsError


def load(path: str | pathlib.Path) -> Weights:
  """Reads the network of a run, a directory of weights or a file of them.

  Args:
    path: a run's directory or `RUN/checkpoints/STEP`; what `import_weights` or
      `export` wrote; or a file that `import_weights` reads.

  Raises:
    WeightsError: there is nothing, or it cannot be read.
  """
  place = pathlib.Path(path).expanduser()
  if not place.exists():
    raise WeightsError(f'{place} does not exist.')
  if place.is_file():
    return detect.read(place)
  if weights_dir.holds(place):
    return weights_dir.read(place)
  if run_checkpoint.holds(place):
    return run_checkpoint.read(place)
  raise WeightsError(
    f'{place} is no run (it has no checkpoints/) and holds no weights'
    f' (no {weights_dir.FILE}).'
  )
