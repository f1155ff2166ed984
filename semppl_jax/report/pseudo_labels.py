"""Are the pseudo-labels correct? Accuracy, coverage, classes."""

from collections.abc import Iterator, Sequence

import numpy as np

from semppl_jax.report import (
  formatting,
  plots,
  pseudo_label_stats as pseudo_label_stats_lib,
)
from semppl_jax.report.components import Block, Figure, Heading, Note
from semppl_jax.report.pseudo_label_stats import PseudoLabelRecords
from semppl_jax.report.run_record import RunRecord

_COVERAGE = 'pseudo/coverage'
_METRICS = {
  'right, where it is known': 'pseudo/accuracy',
  'with a pseudo-label': _COVERAGE,
  'agreement of the votes': 'pseudo/agreement',
}
_MAX_POINTS = 40
# Limit on the classes of a run that does not say how many it has.
_MAX_CLASSES = 100_000
_EDGES = (0.0, 0.25, 0.5, 0.75, 0.999, 1.0)
# Bins of the class balance, and rows of each class in a bin.
_MAX_BINS, _ROWS_PER_BIN = 12, 5


def answers(
  runs: Sequence[RunRecord], detailed: Sequence[RunRecord]
) -> list[str]:
  """Returns a sentence per run; of many runs, of the detailed ones."""
  having = _having(runs)
  if not having:
    return ['No pseudo-labels: the method has none, or none was recorded yet.']
  few = having if len(having) <= plots.MAX_NAMED else _having(detailed)
  return [_answer(run, len(runs) > 1) for run in few]


def blocks(
  runs: Sequence[RunRecord], detailed: Sequence[RunRecord]
) -> Iterator[Block]:
  """Yields curves of all runs, and classes of the detailed ones."""
  if having := _having(runs):
    yield from _curves(having)
  for run in _having(detailed):
    records = pseudo_label_stats_lib.collect(run.pseudo_labels).within(
      len(run.class_names) or _MAX_CLASSES
    )
    if len(records.label):
      if len(runs) > 1:
        yield Heading(run.name)
      yield from _class_blocks(run, records)


def _having(runs: Sequence[RunRecord]) -> list[RunRecord]:
  return [run for run in runs if _COVERAGE in run.metrics]


def _answer(run: RunRecord, named: bool) -> str:
  name = f'{run.name}: ' if named else ''
  if run.flat_config.get(f'{run.method}.pseudo_labels') == 'oracle':
    return f"{name}They are the true labels (pseudo_labels='oracle')."
  accuracy = run.recent('pseudo/accuracy')
  agreement = run.recent('pseudo/agreement')
  covered = (
    f'{formatting.percent(run.recent(_COVERAGE), 0)} of the unlabelled rows'
    ' have a pseudo-label'
  )
  if agreement is not None:
    covered += f', on average with {formatting.percent(agreement, 0)} of votes'
  if accuracy is None:
    return (
      f'{name}{covered}. Their accuracy is unknown, as no unlabelled image has'
      ' a true label.'
    )
  return (
    f'{name}Accuracy {formatting.percent(accuracy)}'
    f'{formatting.chance(len(run.class_names))}; {covered}. Means of the last'
    ' quarter of the records.'
  )


def _curves(runs: Sequence[RunRecord]) -> Iterator[Figure]:
  title = 'Pseudo-labels'
  if len(runs) == 1:
    charts = {title: _METRICS}
  else:
    charts = {f'{title}: {k}': {k: metric} for k, metric in _METRICS.items()}
  for title, metrics in charts.items():
    having = [r for r in runs if any(m in r.metrics for m in metrics.values())]
    # A record is of one batch, whose rows are few.
    yield from plots.metric_figure(
      title, having, metrics, y='of the unlabelled rows, %', scale=100,
      max_points=_MAX_POINTS, bottom=0,
      good='Good: the accuracy rises far above chance, with a coverage near'
      ' 100 %. If only the agreement rises, the votes confirm'
      ' their own errors.',
    )  # fmt: skip


def _class_blocks(
  run: RunRecord, records: PseudoLabelRecords
) -> Iterator[Block]:
  if not (records.label >= 0).any():
    yield Note('No recorded row has a pseudo-label yet.')
    return
  most = max(records.label.max(), records.true.max()) + 1
  names = [*run.class_names] or [*map(str, range(most))]
  yield _class_balance(run, records, names)
  known = records.recent.known
  if not len(known.label):
    yield Note(
      'No recorded row has a true class: precision, recall and confusion are'
      ' unknown.'
    )
    return
  yield from pseudo_label_stats_lib.class_blocks(names, known)
  yield _reliability(known)


def _class_balance(
  run: RunRecord, records: PseudoLabelRecords, names: list[str]
) -> Figure:
  title = 'Class balance of the pseudo-labels over time'
  # With fewer rows of each class in a bin, chance is all that is seen.
  bins = len(records.label) // (_ROWS_PER_BIN * len(names))
  steps, shares = pseudo_label_stats_lib.class_shares(
    records, len(names), min(max(bins, 3), _MAX_BINS)
  )
  reference, reference_name = _expected_shares(run, records, len(names))
  with np.errstate(divide='ignore', invalid='ignore'):
    ratio = np.log2(shares / reference)
  classes = _least_balanced(shares[-1], reference)
  shown = np.clip(np.nan_to_num(ratio, neginf=-3, posinf=3), -2, 2)

  def draw(axes: plots.Axes) -> None:
    image = axes.imshow(
      shown[:, classes].T, cmap='PuOr_r', vmin=-2, vmax=2, aspect='auto'
    )
    labels = [plots.short(names[c], 18) for c in classes]
    axes.set_yticks(range(len(classes)), labels)
    ticks = np.unique(np.linspace(0, len(steps) - 1, 5).astype(int))
    axes.set_xticks(ticks, [f'{steps[n]:,}' for n in ticks])
    axes.set_xlabel('until step')
    plots.colorbar(
      axes, image, f'predicted, against {reference_name}',
      ticks=range(-2, 3), shrink=0.9, format=lambda v, _: f'x {2.0**v:g}',
    )  # fmt: skip

  few = len(classes) < len(names)
  return plots.figure(
    title,
    draw,
    'Good: pale everywhere, as each class is predicted as often as it occurs. A'
    ' row that darkens to the right is predicted more and more, or less and'
    ' less.' + (f' The {len(classes)} least balanced classes.' if few else ''),
    {
      'step': steps.tolist(),
      'class': [names[c] for c in classes],
      'share': [plots.rounded(row) for row in shares[:, classes]],
      'reference': plots.rounded(reference[classes]),
    },
    height=1.1 + 0.24 * len(classes),
  )


def _expected_shares(
  run: RunRecord, records: PseudoLabelRecords, classes: int
) -> tuple[np.ndarray, str]:
  """Returns the expected share of each class [C] and its name."""
  true = records.true[records.true >= 0]
  if len(true):
    return np.bincount(true, minlength=classes) / len(true), 'the true share'
  counts = np.zeros(classes)
  labelled = np.asarray(run.metadata.get('labelled_per_class', ()), float)
  counts[: len(labelled)] = labelled[:classes]
  if not counts.sum():
    counts += 1
  return counts / counts.sum(), 'the labelled share'


def _least_balanced(share: np.ndarray, reference: np.ndarray) -> np.ndarray:
  """Returns the classes to draw, in order; of many, the least balanced."""
  if len(share) <= pseudo_label_stats_lib.MAX_DRAWN:
    return np.arange(len(share))
  # A count deviates by the root of its expectation.
  deviation = np.abs(share - reference) / np.sqrt(np.maximum(reference, 1e-9))
  order = np.argsort(-deviation, kind='stable')
  return np.sort(order[: pseudo_label_stats_lib.MAX_DRAWN])


def _reliability(known: PseudoLabelRecords) -> Figure:
  title = 'Are the surer pseudo-labels right more often?'
  bins = pseudo_label_stats_lib.reliability(known, _EDGES)
  labels = [
    f'{100 * low:.0f} to {100 * high:.0f}' if low < 0.99 else 'all'
    for low, high, _, _ in bins
  ]

  def draw(axes: plots.Axes) -> None:
    bars = axes.bar(
      labels, [100 * right for _, _, right, _ in bins], 0.7,
      color=plots.SERIES[0],
    )  # fmt: skip
    axes.bar_label(bars, [f'{n:,} rows' for *_, n in bins], fontsize=8)
    axes.set_xlabel('share of the votes, or probability, %')
    axes.set_ylabel('accuracy, %')
    axes.set_ylim(0, 108)

  return plots.figure(
    title,
    draw,
    'Good: it rises to the right. Then a small share of the votes, or a low'
    ' probability, marks wrong pseudo-labels.',
    [
      {'from': low, 'to': high, 'right': round(right, 4), 'rows': n}
      for low, high, right, n in bins
    ],
  )
