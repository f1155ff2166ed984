"""Chooses the images of a folder whose labels say most.

  python -m semppl_jax.select --checkpoint=RUN_OR_FILE --images=FOLDER \
    --count=40 --out=to_label.csv

Writes a CSV with the columns path and label, the labels empty to be filled in,
and a contact sheet beside it, `<out>.png`. The file is a `data.labels_file`.
With `--labels_file`, images that it labels are kept out of the choice.
"""

import csv
import io
import os
import pathlib

from absl import flags
import numpy as np

from semppl_jax.config import loading
from semppl_jax.runtime import cli, errors, files

_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', None, 'A run, imported weights, or a file of weights.'
)
_IMAGES = flags.DEFINE_string('images', None, 'The folder of images.')
_OUT = flags.DEFINE_string('out', None, 'The CSV to write.')
_COUNT = flags.DEFINE_integer('count', 40, 'Number of images to label.', 1)
_LABELS = flags.DEFINE_string(
  'labels_file', '', 'Labels of images that are labelled already.'
)
_SEED = flags.DEFINE_integer('seed', 0, 'Seed of the clusters.', 0)


def main(_) -> int:
  """Runs the command and returns the exit status."""
  return cli.run_cli(_select, 'No file was written.')


def _select() -> int:
  from semppl_jax.labelling import contact_sheet, model as model_lib, select

  if not (_CHECKPOINT.value and _IMAGES.value and _OUT.value):
    raise loading.ConfigError(
      '--checkpoint, --images and --out are needed, as in'
      ' --checkpoint=RUN --images=FOLDER --out=to_label.csv.'
    )
  out = files.output_file(_OUT.value)
  folder = os.path.expanduser(_IMAGES.value)
  model = model_lib.load(_CHECKPOINT.value)
  data, features = model.folder(folder, _LABELS.value)
  free = features.select(features.label < 0)
  if len(free.index) < _COUNT.value:
    raise errors.InputError(
      f'--count={_COUNT.value} exceeds the {len(free.index)} unlabelled images'
      f' of --images={folder!r} that can be read.'
    )
  chosen = select.choose(free.values['encoder'], _COUNT.value, _SEED.value)
  rows = free.index[chosen]
  stream = io.StringIO()
  table = csv.writer(stream, lineterminator='\n')
  table.writerow(['path', 'label'])
  table.writerows([data.ids[row], ''] for row in rows)
  sheet = pathlib.Path(f'{out}.png')
  contact_sheet.write(
    str(sheet),
    model.crops(data, rows),
    [(int(row), os.path.basename(str(data.ids[row]))) for row in rows],
  )
  files.write_text(out, stream.getvalue())
  labelled = int(np.sum(data.labels >= 0))
  print(  # noqa: T201
    f'{out}: {len(rows)} of {data.size:,} images to label ({labelled:,} have a'
    f' label already); pictures in {sheet}.'
  )
  return errors.OK


if __name__ == '__main__':
  cli.start(main)
