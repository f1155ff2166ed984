"""Predicts the classes of a folder of images.

  python -m semppl_jax.predict --checkpoint=RUN_OR_FILE --images=FOLDER \
    --out=labels.csv

Writes a CSV: path, label, probability, the second class and its probability,
and the largest similarity to a labelled image; and a contact sheet of the least
sure images beside it, `<out>.png`. The file is a `data.labels_file`.

Labelled images are those of `--labels_file`, or else of the checkpoint's run.
"""

from __future__ import annotations

import csv
import io
import os
import pathlib
from typing import TYPE_CHECKING

from absl import flags
import numpy as np

from semppl_jax.config import loading
from semppl_jax.runtime import cli, errors, files

if TYPE_CHECKING:
  from semppl_jax.labelling.classify import Predictions

_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', None, 'A run, imported weights, or a file of weights.'
)
_IMAGES = flags.DEFINE_string('images', None, 'The folder of images.')
_OUT = flags.DEFINE_string('out', None, 'The CSV to write.')
_LABELS = flags.DEFINE_string(
  'labels_file', '', 'Labels of some of the images (csv, txt or json).'
)
_BY = flags.DEFINE_string(
  'by',
  '',
  'classifier (of the network), logistic, propagation, soft_nn or knn; by'
  ' default the classifier where the network has one and no labels are given,'
  ' else propagation up to five labels a class, and logistic for more.',
)
_LEAST = flags.DEFINE_float(
  'min_probability', 0.0, 'Leave labels less probable than this empty.', 0, 1
)
_HEAD = ('path', 'label', 'probability', 'second', 'second_probability')
_SHOWN = 32


def main(_) -> int:
  """Runs the command and returns the exit status."""
  return cli.run_cli(_predict, 'No file was written.')


def _predict() -> int:
  from semppl_jax.labelling import contact_sheet, model as model_lib

  if not (_CHECKPOINT.value and _IMAGES.value and _OUT.value):
    raise loading.ConfigError(
      '--checkpoint, --images and --out are needed, as in'
      ' --checkpoint=RUN --images=FOLDER --out=labels.csv.'
    )
  out = files.output_file(_OUT.value)
  folder = os.path.expanduser(_IMAGES.value)
  model = model_lib.load(_CHECKPOINT.value)
  data, found = model.predict_folder(folder, _LABELS.value, _BY.value)
  if not len(found.index):
    raise errors.InputError(
      f'--images={folder!r} has no unlabelled image: all {data.size:,} are in'
      f' --labels_file={_LABELS.value!r}.'
    )
  least = np.argsort(found.confidence, kind='stable')[:_SHOWN]
  rows = found.index[least]
  sheet = pathlib.Path(f'{out}.png')
  contact_sheet.write(
    str(sheet),
    model.crops(data, rows),
    [
      (int(found.index[n]), f'{found.label[n]} {found.confidence[n]:.0%}')
      for n in least
    ],
  )
  files.write_text(out, _csv(data.ids, found))
  sure = int(np.sum(found.confidence >= _LEAST.value))
  unreadable = data.size - int(np.sum(data.labels >= 0)) - len(found.index)
  print(  # noqa: T201
    f'{out}: {sure:,} of {len(found.index):,} images labelled, mean probability'
    f' {found.confidence.mean():.0%}'
    + (f'; {unreadable:,} cannot be read' if unreadable else '')
    + f'. The least sure: {sheet}.'
  )
  return errors.OK


def _csv(ids: np.ndarray, found: Predictions) -> str:
  """Returns the table of predictions, in the order of the paths."""
  stream = io.StringIO()
  table = csv.writer(stream, lineterminator='\n')
  similarity = found.similarity
  table.writerow([*_HEAD, *(['similarity'] if similarity is not None else [])])
  for n, (row, order) in enumerate(zip(found.index, found.order, strict=True)):
    first, second = order[0], order[min(1, len(order) - 1)]
    probability = found.probability[n]
    sure = probability[first] >= _LEAST.value
    table.writerow([
      ids[row],
      found.class_names[first] if sure else '',
      f'{probability[first]:.4f}',
      found.class_names[second],
      f'{probability[second]:.4f}',
      *([f'{similarity[n]:.4f}'] if similarity is not None else []),
    ])  # fmt: skip
  return stream.getvalue()


if __name__ == '__main__':
  cli.start(main)
