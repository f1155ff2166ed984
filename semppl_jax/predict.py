r"""Predicts the classes of a folder of images.

  python -m semppl_jax.predict --checkpoint=RUN_OR_FILE --images=FOLDER \
    --out=labels.csv

Writes a CSV: path, label, probability, the second class and its probability,
and the largest similarity to a labelled image; and a contact sheet of the least
sure images beside it, `<out>.png`. The file is a `data.labels_file`.

Labelled images are those of `--labels_file`, or else of the checkpoint's run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from absl import flags
import numpy as np

from semppl_jax.labelling import command
from semppl_jax.runtime import cli, errors

if TYPE_CHECKING:
  from semppl_jax.labelling.classify import Predictions

_GIVEN = command.define_flags()
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
_SHOWN = 32


def main(_) -> int:
  """Runs the command and returns the exit status."""
  return cli.run_cli(_predict, 'No labels were written.')


def _predict() -> int:
  work = command.open_work(_GIVEN())
  found = work.model.predict_unlabelled(work.data, _BY.value)
  least = np.argsort(found.confidence, kind='stable')[:_SHOWN]
  work.write(
    _table(work.data.ids, found),
    [
      (int(found.index[n]), f'{found.label[n]}, {found.confidence[n]:.0%}')
      for n in least
    ],
  )
  sure = int(np.sum(found.confidence >= _LEAST.value))
  unreadable = int(np.sum(work.data.labels < 0)) - len(found.index)
  print(  # noqa: T201
    f'{work.out}: {sure:,} of {len(found.index):,} images labelled, mean'
    f' probability {found.confidence.mean():.0%}'
    + (f'; {unreadable:,} cannot be read' if unreadable else '')
    + f'. The least sure: {work.sheet}.'
  )
  return errors.OK


def _table(ids: np.ndarray, found: Predictions) -> Iterator[Sequence[object]]:
  """Yields the rows of the CSV, in the order of the paths."""
  similarity = found.similarity
  own = [] if similarity is None else ['similarity']
  yield ['path', 'label', 'probability', 'second', 'second_probability', *own]
  for n, (row, order) in enumerate(zip(found.index, found.order, strict=True)):
    first, second = order[0], order[min(1, len(order) - 1)]
    probability = found.probability[n]
    sure = probability[first] >= _LEAST.value
    yield [
      ids[row],
      found.class_names[first] if sure else '',
      f'{probability[first]:.4f}',
      found.class_names[second],
      f'{probability[second]:.4f}',
      *([] if similarity is None else [f'{similarity[n]:.4f}']),
    ]


if __name__ == '__main__':
  cli.start(main)
