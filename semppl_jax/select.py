r"""Chooses the images of a folder whose labels say most.

  python -m semppl_jax.select --checkpoint=RUN_OR_FILE --images=FOLDER \
    --count=40 --out=to_label.csv

Writes a CSV with the columns path and label, the labels empty to be filled in,
and a contact sheet beside it, `<out>.png`. The file is a `data.labels_file`.
With `--labels_file`, images that it labels are kept out of the choice.
"""

from absl import flags
import numpy as np

from semppl_jax.labelling import command
from semppl_jax.runtime import cli, errors

_GIVEN = command.define_flags()
_COUNT = flags.DEFINE_integer('count', 40, 'Number of images to label.', 1)
_SEED = flags.DEFINE_integer('seed', 0, 'Seed of the clusters.', 0)


def main(_) -> int:
  """Runs the command and returns the exit status."""
  return cli.run_cli(_select, 'No labels were written.')


def _select() -> int:
  from semppl_jax.labelling import select

  work = command.open_work(_GIVEN())
  unlabelled = np.flatnonzero(work.data.labels < 0)
  _check_count(len(unlabelled), 'unlabelled images')
  features = work.model.features(work.data, unlabelled)
  _check_count(len(features.index), 'unlabelled images that can be read')
  chosen = select.choose(features.values['encoder'], _COUNT.value, _SEED.value)
  rows = features.index[chosen].tolist()
  work.write(
    [('path', 'label'), *((work.data.ids[row], '') for row in rows)],
    [(row, f'{n}') for n, row in enumerate(rows, 1)],
  )
  print(  # noqa: T201
    f'{work.out}: {len(rows)} of {work.data.size:,} images to label'
    f' ({work.data.size - len(unlabelled):,} have a label already); pictures in'
    f' {work.sheet}.'
  )
  return errors.OK


def _check_count(count: int, what: str) -> None:
  if count < _COUNT.value:
    raise errors.InputError(
      f'--count={_COUNT.value} exceeds the {count:,} {what} of --images.'
    )


if __name__ == '__main__':
  cli.start(main)
