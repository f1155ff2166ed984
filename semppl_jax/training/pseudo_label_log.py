"""Pseudo-labels of a run: `pseudo_labels.jsonl`.

The file has a line for each record of the run, of unlabelled rows of the first
process: `index` of their images in the train set, predicted `label` (-1: none),
`true` label if the data has one (-1: none) and `share` of the votes. For the
first few rows also `voters` ([image, votes] each), the neighbours that voted,
and `positives`, the labelled images that the loss drew for them.
"""

import collections
import contextlib
import json

from etils import epath
import numpy as np

from semppl_jax.runtime import files as files_lib

FILE = 'pseudo_labels.jsonl'
# Rows of a record; those of them with their neighbours; neighbours of a row.
_MAX_ROWS, _MAX_EXPLAINED, _MAX_VOTERS = 512, 8, 8


class PseudoLabelLog:
  """Writes `pseudo_labels.jsonl`; without any record there is no file."""

  def __init__(self, workdir: epath.Path, start_step: int):
    """Drops lines of steps after `start_step`."""
    self._path = workdir / FILE
    files_lib.truncate_json_lines(self._path, start_step)
    self._open = contextlib.ExitStack()
    self._file = None

  def write(self, step: int, rows: dict[str, np.ndarray]) -> None:
    """Writes the pseudo-labels of the unlabelled rows of a step.

    Args:
      step: the step.
      rows: fields of `base.PseudoLabels`, and `index`, `given` (the label that
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


def _line(rows: dict[str, np.ndarray]) -> dict[str, object]:
  kept = np.flatnonzero(rows['given'] < 0)[:_MAX_ROWS]
  line = {
    name: rows[name][kept].tolist() for name in ('index', 'label', 'true')
  }
  line['share'] = [round(float(x), 3) for x in rows['share'][kept]]
  explained = kept[:_MAX_EXPLAINED]
  if 'voter' in rows:
    line['voters'] = [_counted(rows['voter'][row]) for row in explained]
  if 'positive' in rows:
    line['positives'] = [
      [image for image, _ in _counted(rows['positive'][row])]
      for row in explained
    ]
  return line


def _counted(images: np.ndarray) -> list[tuple[int, int]]:
  """Counts each image, the most frequent first."""
  counts = collections.Counter(x for x in images.tolist() if x >= 0)
  return counts.most_common(_MAX_VOTERS)
