"""Some pseudo-labels of a run as its steps gave them, with who voted.

`pseudo_labels.jsonl` has a line for each record of the run, of unlabelled rows
of the first process: `index` of their images in the train set, `label` that was
predicted (-1: none), the `true` one where the data has it (-1: not) and the
`share` of the votes. Of the first few rows also `voters` ([image, votes] each)
and `positives`, the labelled images that the loss drew for them.
"""

import collections
import contextlib
import json
from typing import Any

from etils import epath
import numpy as np

from semppl_jax.runtime import files as files_lib

FILE = 'pseudo_labels.jsonl'
# Rows of a record, and of these rows that say who voted.
_MOST, _EXPLAINED = 512, 8
_VOTERS = 8


class GuessLog:
  """Writes the file; one that no row is ever recorded in is not made."""

  def __init__(self, workdir: epath.Path, start_step: int):
    """Drops lines of steps after `start_step`."""
    self._path = workdir / FILE
    files_lib.truncate_json_lines(self._path, start_step)
    self._open = contextlib.ExitStack()
    self._file = None

  def write(self, step: int, rows: dict[str, np.ndarray]) -> None:
    """Writes what a step made of its unlabelled rows.

    Args:
      step: the step.
      rows: fields of `base.Guesses`, and `index`, `given` (the label that
        the run may know) and `true`, each [B, ...].
    """
    if self._file is None:
      self._file = self._open.enter_context(self._path.open('a'))
    line = {'step': step} | _line(rows)
    self._file.write(json.dumps(line, separators=(',', ':')) + '\n')
    self._file.flush()

  def close(self) -> None:
    """Closes the file."""
    self._open.close()


def _line(rows: dict[str, np.ndarray]) -> dict[str, Any]:
  kept = np.flatnonzero(rows['given'] < 0)[:_MOST]
  line = {
    name: rows[name][kept].tolist() for name in ('index', 'label', 'true')
  }
  line['share'] = [round(float(x), 3) for x in rows['share'][kept]]
  explained = kept[:_EXPLAINED]
  if 'voter' in rows:
    line['voters'] = [_counted(rows['voter'][row]) for row in explained]
  if 'positive' in rows:
    line['positives'] = [
      [image for image, _ in _counted(rows['positive'][row])]
      for row in explained
    ]
  return line


def _counted(images: np.ndarray) -> list[tuple[int, int]]:
  """Each image with how often it stands there, the most frequent first."""
  counts = collections.Counter(x for x in images.tolist() if x >= 0)
  return counts.most_common(_VOTERS)
