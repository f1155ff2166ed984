"""Where the learning of a mask network is, in a file, between its epochs."""

import pathlib
from typing import Any, NamedTuple
import zipfile

import jax
import numpy as np

from semppl_jax.runtime.files import atomic_write


class Progress(NamedTuple):
  """Between two epochs.

  Attributes:
    epochs: that are done, over all stages.
    state: of the pupil, a tree of arrays.
    targets: what the stage learns, uint8 [n, h, w, H].
    averages: of predictions, float32 [n, h, w, H] of the first stage's heads.
  """

  epochs: int
  state: Any
  targets: np.ndarray
  averages: np.ndarray


def write(file: str, about: str, progress: Progress) -> None:
  """Writes it whole or not at all.

  Args:
    file: to write.
    about: what tells this learning from others.
    progress: what to keep.
  """
  leaves = jax.tree.leaves(progress.state)
  content: dict[str, Any] = {
    'about': np.array(about),
    'epochs': np.array(progress.epochs),
    'targets': progress.targets,
    'averages': progress.averages,
    **{f'leaf{place}': np.asarray(x) for place, x in enumerate(leaves)},
  }
  with atomic_write(file) as temporary, temporary.open('wb') as stream:
    np.savez(stream, **content)


def read(file: str, about: str) -> Progress | None:
  """Reads what `write` wrote, its state as a list of leaves.

  Returns:
    None where there is none, or one of other learning.
  """
  try:
    with np.load(file) as found:
      if str(found['about']) != about:
        return None
      count = sum(name.startswith('leaf') for name in found.files)
      return Progress(
        int(found['epochs']),
        [found[f'leaf{place}'] for place in range(count)],
        found['targets'],
        found['averages'],
      )
  except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile):
    return None


def remove(file: str) -> None:
  """Removes the file, if it is there."""
  pathlib.Path(file).unlink(missing_ok=True)
