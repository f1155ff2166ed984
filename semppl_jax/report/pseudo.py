"""Are the pseudo-labels any good? Accuracy, coverage, votes, classes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from semppl_jax.report import compared, drawing, guesses as guesses_lib, words
from semppl_jax.report.blocks import (
  Block,
  Figure,
  Heading,
  Note,
  Section,
  Table,
)
from semppl_jax.report.course import Course
from semppl_jax.report.guesses import Guesses

QUESTION = 'Are the pseudo-labels any good?'
# Classes that are drawn one by one; of more, the extremes are listed.
_DRAWN, _LISTED = 24, 12
_BINS, _POINTS = 12, 40
_FEW = 5  # Rows of each class in a bin.
_EDGES = (0.0, 0.25, 0.5, 0.75, 0.999, 1.0)
_METRICS = {
  'right, of those that are known': 'pseudo/accuracy',
  'with a pseudo-label': 'pseudo/coverage',
  'agreement of the votes': 'pseudo/agreement',
}


def section(courses: Sequence[Course], detailed: Sequence[Course]) -> Section:
  """Curves of all runs, and classes of those that are shown in detail."""
  having = [c for c in courses if 'pseudo/coverage' in c.metrics]
  if not having:
    text = (
      'No run here gives unlabelled images a label, or none has recorded any'
      ' yet: there is nothing to judge.'
    )
    return Section('pseudo', QUESTION, [text], [])
  few = having if len(having) <= compared.NAMED else detailed
  answers = [_answer(c, len(courses) > 1) for c in few if c in having]
  blocks = [*_curves(having)]
  for course in detailed:
    found = guesses_lib.collect(course.guesses)
    if course in having and len(found.label):
      if len(courses) > 1:
        blocks.append(Heading(course.name))
      blocks += _classes(course, found)
  return Section('pseudo', QUESTION, answers, blocks)


def _answer(course: Course, named: bool) -> str:
  right = compared.recent(course, 'pseudo/accuracy')
  if course.method == 'semppl' and (
    course.fields.get('semppl.pseudo_labels') == 'oracle'
  ):
    return f'{course.name}: these are the true labels, as an ablation has them.'
  coverage = compared.recent(course, 'pseudo/coverage')
  agreement = compared.recent(course, 'pseudo/agreement')
  name = f'{course.name}: ' if named else ''
  covered = (
    f'{words.percent(coverage, 0)} of the unlabelled rows have a pseudo-label'
  )
  if agreement is not None:
    covered += f', behind which are {words.percent(agreement, 0)} of the votes'
  if right is None:
    return (
      f'{name}{covered}. How many are right is not known, as no unlabelled'
      ' image has a true label.'
    )
  chance = words.chance(len(course.class_names))
  return (
    f'{name}{words.percent(right)} are right{chance}; {covered}. Means of the'
    ' last quarter of the records.'
  )


def _curves(courses: Sequence[Course]) -> Iterator[Block]:
  if len(courses) == 1:
    yield _curve('Pseudo-labels', courses, _METRICS)
    return
  for label, metric in _METRICS.items():
    having = [c for c in courses if metric in c.metrics]
    if having:
      yield _curve(f'Pseudo-labels: {label}', having, {label: metric})


def _curve(
  title: str, courses: Sequence[Course], metrics: dict[str, str]
) -> Figure:
  # A record is of one batch, whose rows are few.
  lines = compared.curves(courses, metrics, scale=100, most=_POINTS)
  drawn = drawing.lines(
    title,
    lines,
    x=compared.axis(courses),
    y='of the unlabelled rows, %',
    bottom=0,
  )
  return Figure(
    title,
    drawn,
    'Good: the share that is right rises far above chance while coverage stays'
    ' near 100 %; agreement that rises without it is a vote that fools itself.',
    compared.data(lines),
  )


def _classes(course: Course, found: Guesses) -> Iterator[Block]:
  if not (found.label >= 0).any():
    yield Note('No row on record has a pseudo-label yet.')
    return
  names = class_names(course, found)
  known = found.recent.known
  yield _balance(course, found, names)
  if not len(known.label):
    yield Note(
      'No recorded pseudo-label has a true class to be held against: precision,'
      ' recall and confusion of the classes are not known.'
    )
    return
  scores = guesses_lib.per_class(known, len(names))
  if len(names) <= _DRAWN:
    yield _bars(names, scores)
    yield _matrix(names, known)
  else:
    yield from _extremes(names, scores)
  yield _mistakes(names, known)
  yield _reliability(known)


def class_names(course: Course, found: Guesses) -> list[str]:
  """Names of all classes, numbers where there are none."""
  names = list(course.class_names)
  most = max(found.label.max(initial=-1), found.true.max(initial=-1)) + 1
  return names + [str(n) for n in range(len(names), most)]


def _bars(names: list[str], scores: guesses_lib.Scores) -> Figure:
  title = 'Precision and recall by class'

  def draw(axes: Any) -> None:
    place = np.arange(len(names))
    for n, (label, value) in enumerate(
      {'precision': scores.precision, 'recall': scores.recall}.items()
    ):
      axes.barh(
        place + (n - 0.5) * 0.36, 100 * np.nan_to_num(value), 0.34,
        color=drawing.SERIES[n], label=label,
      )  # fmt: skip
    axes.set_yticks(place, [drawing.short(name, 18) for name in names])
    axes.invert_yaxis()
    axes.set_xlabel('%')
    drawing.legend(axes)

  size = drawing.SIZE[0], max(drawing.SIZE[1], 0.9 + 0.26 * len(names))
  return Figure(
    title,
    drawing.svg(title, draw, size),
    'Good: long bars of equal length; a class of little recall is one that the'
    ' votes forget, one of little precision is one that they fall into.',
    _scores(names, scores),
  )


def _scores(names: list[str], scores: guesses_lib.Scores) -> dict[str, Any]:
  return {
    'class': list(names),
    'precision': drawing.rounded(scores.precision),
    'recall': drawing.rounded(scores.recall),
    'predicted': scores.predicted.tolist(),
    'actual': scores.actual.tolist(),
  }


def _extremes(names: list[str], scores: guesses_lib.Scores) -> Iterator[Block]:
  title = 'Recall of the classes, worst to best'
  recall = np.sort(scores.recall[np.isfinite(scores.recall)])
  precision = np.sort(scores.precision[np.isfinite(scores.precision)])

  def rank(values: np.ndarray) -> np.ndarray:
    return 100 * np.linspace(0, 1, max(len(values), 2))[: len(values)]

  lines = [
    drawing.Line(label, *drawing.thinned(rank(values), 100 * values))
    for label, values in (('recall', recall), ('precision', precision))
  ]
  yield Figure(
    title,
    drawing.lines(title, lines, x='classes, %', y='%', bottom=0),
    'Good: the left end is above 0, so that no class is forgotten.',
    compared.data(lines),
  )
  order = np.argsort(scores.recall)
  order = order[np.isfinite(scores.recall[order])]
  for title, chosen in (
    ('Classes of least recall', order[:_LISTED]),
    ('Classes of most recall', order[::-1][:_LISTED]),
  ):
    yield Table(
      title,
      ('class', 'recall', 'precision', 'rows that are', 'predicted'),
      [
        (
          names[c],
          words.percent(float(scores.recall[c])),
          words.percent(float(scores.precision[c])),
          f'{scores.actual[c]:,}',
          f'{scores.predicted[c]:,}',
        )
        for c in chosen
      ],
      'Of few rows a share says little.',
    )


def _matrix(names: list[str], known: Guesses) -> Figure:
  title = 'Confusion matrix'
  counts = guesses_lib.confusion(known, len(names))
  share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)

  def draw(axes: Any) -> None:
    image = axes.imshow(share, cmap='Blues', vmin=0, vmax=100)
    ticks = [drawing.short(name, 12) for name in names]
    axes.set_xticks(range(len(names)), ticks, rotation=90)
    axes.set_yticks(range(len(names)), ticks)
    axes.set_xlabel('predicted')
    axes.set_ylabel('true')
    if len(names) <= 12:
      for row, line in enumerate(share):
        for column, value in enumerate(line):
          axes.text(
            column, row, f'{value:.0f}', ha='center', va='center', fontsize=7,
            color='white' if value > 55 else 'black',
          )  # fmt: skip
    bar = axes.figure.colorbar(image, shrink=0.8)
    bar.set_label('of the true class, %')
    bar.outline.set_visible(False)

  return Figure(
    title,
    drawing.svg(title, draw, (drawing.SIZE[0], 4.4)),
    'Good: a dark diagonal on a pale ground; a dark column is a class that'
    ' attracts what is not of it.',
    {'class': list(names), 'true_by_predicted': counts.tolist()},
  )


def _mistakes(names: list[str], known: Guesses) -> Table:
  actual = np.bincount(known.true, minlength=len(names))
  return Table(
    'Most frequent mistakes',
    ('true', 'predicted', 'rows', 'of the true class'),
    [
      (names[a], names[b], f'{n:,}', words.percent(n / actual[a]))
      for a, b, n in guesses_lib.confused(known, _LISTED)
    ],
    'Good: classes that look alike to a person too.',
    folded=len(names) <= _DRAWN,
  )


def _balance(course: Course, found: Guesses, names: list[str]) -> Figure:
  title = 'Class balance of the pseudo-labels over time'
  # In each bin a few of each class, or all that is seen is chance.
  bins = np.clip(len(found.label) // (_FEW * len(names)), 3, _BINS)
  steps, shares = guesses_lib.balance(found, len(names), int(bins))
  reference, of = _reference(course, found, len(names))
  with np.errstate(divide='ignore', invalid='ignore'):
    ratio = np.log2(shares / reference)
  chosen = _furthest(shares[-1], reference, _DRAWN)
  shown = np.clip(np.nan_to_num(ratio, neginf=-3, posinf=3), -2, 2)

  def draw(axes: Any) -> None:
    image = axes.imshow(
      shown[:, chosen].T, cmap='PuOr_r', vmin=-2, vmax=2, aspect='auto'
    )
    axes.set_yticks(
      range(len(chosen)), [drawing.short(names[c], 18) for c in chosen]
    )
    ticks = np.unique(np.linspace(0, len(steps) - 1, 5).astype(int))
    axes.set_xticks(ticks, [f'{steps[n]:,}' for n in ticks])
    axes.set_xlabel('until step')
    bar = axes.figure.colorbar(
      image, ticks=range(-2, 3), shrink=0.9,
      format=lambda v, _: f'x {2.0**v:g}',
    )  # fmt: skip
    bar.set_label(f'predicted, against {of}')
    bar.outline.set_visible(False)

  size = drawing.SIZE[0], max(drawing.SIZE[1], 1.1 + 0.24 * len(chosen))
  few = '' if len(names) <= _DRAWN else f' The {len(chosen)} furthest from it.'
  return Figure(
    title,
    drawing.svg(title, draw, size),
    'Good: pale, all through: each class is predicted as often as it occurs;'
    f' a row that darkens to the right runs away or dies out.{few}',
    {
      'step': steps.tolist(),
      'class': [names[c] for c in chosen],
      'share': [drawing.rounded(row) for row in shares[:, chosen]],
      'reference': drawing.rounded(reference[chosen]),
    },
  )


def _reference(
  course: Course, found: Guesses, classes: int
) -> tuple[np.ndarray, str]:
  """Share of each class that predictions are held against, and of what."""
  true = found.true[found.true >= 0]
  if len(true):
    return np.bincount(true, minlength=classes) / len(true), 'the true share'
  counts = np.zeros(classes)
  labelled = np.asarray(course.facts.get('labelled_per_class', ()), float)
  counts[: len(labelled)] = labelled[:classes]
  if not counts.sum():
    counts += 1
  return counts / counts.sum(), 'the share among the labels'


def _furthest(
  share: np.ndarray, reference: np.ndarray, most: int
) -> np.ndarray:
  """Classes in their order; of many, those surest to be off the reference."""
  if len(share) <= most:
    return np.arange(len(share))
  # What is counted of a class scatters by the root of what is expected.
  off = np.abs(share - reference) / np.sqrt(np.maximum(reference, 1e-9))
  return np.sort(np.argsort(-off, kind='stable')[:most])


def _reliability(known: Guesses) -> Figure:
  title = 'Are the surer pseudo-labels right more often?'
  bins = guesses_lib.reliability(known, _EDGES)
  labels = [
    f'{100 * low:.0f} to {100 * high:.0f}' if low < 0.99 else 'all'
    for low, high, _, _ in bins
  ]

  def draw(axes: Any) -> None:
    bars = axes.bar(
      labels, [100 * right for _, _, right, _ in bins], 0.7,
      color=drawing.SERIES[0],
    )  # fmt: skip
    axes.bar_label(bars, [f'{n:,} rows' for *_, n in bins], fontsize=8)
    axes.set_xlabel('share of the votes, or probability, %')
    axes.set_ylabel('right, %')
    axes.set_ylim(0, 108)

  return Figure(
    title,
    drawing.svg(title, draw),
    'Good: it climbs to the right; where it does, a small share of the votes,'
    ' or a low probability, marks the pseudo-labels that are wrong.',
    [
      {'from': low, 'to': high, 'right': round(right, 4), 'rows': n}
      for low, high, right, n in bins
    ],
  )
