"""Are the pseudo-labels any good? Accuracy, coverage, votes, classes."""

from collections.abc import Iterator, Sequence
from typing import Any

from semppl_jax.report import (
  class_balance,
  class_scores,
  compared,
  formatting,
  plots,
  pseudo_label_stats as pseudo_label_stats_lib,
)
from semppl_jax.report.components import Block, Figure, Heading, Note, Section
from semppl_jax.report.pseudo_label_stats import Guesses
from semppl_jax.report.run_record import Course

QUESTION = 'Are the pseudo-labels any good?'
_POINTS = 40
# Classes of a run that does not say how many it has.
_MOST_CLASSES = 100_000
_EDGES = (0.0, 0.25, 0.5, 0.75, 0.999, 1.0)
_METRICS = {
  'right, where it is known': 'pseudo/accuracy',
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
    found = pseudo_label_stats_lib.collect(course.guesses).within(
      len(course.class_names) or _MOST_CLASSES
    )
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
    f'{formatting.percent(coverage, 0)} of the unlabelled rows have a'
    ' pseudo-label'
  )
  if agreement is not None:
    covered += (
      f', behind which are {formatting.percent(agreement, 0)} of the votes'
    )
  if right is None:
    return (
      f'{name}{covered}. How many are right is not known, as no unlabelled'
      ' image has a true label.'
    )
  chance = formatting.chance(len(course.class_names))
  return (
    f'{name}{formatting.percent(right)} are right{chance}; {covered}. Means of'
    ' the last quarter of the records.'
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
  drawn = plots.lines(
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
  yield class_balance.figure(course, found, names)
  if not len(known.label):
    yield Note(
      'No recorded pseudo-label has a true class to be held against: precision,'
      ' recall and confusion of the classes are not known.'
    )
    return
  yield from class_scores.blocks(names, known)
  yield _reliability(known)


def class_names(course: Course, found: Guesses) -> list[str]:
  """Names of all classes, numbers where there are none."""
  most = max(found.label.max(initial=-1), found.true.max(initial=-1)) + 1
  return list(course.class_names) or [str(n) for n in range(most)]


def _reliability(known: Guesses) -> Figure:
  title = 'Are the surer pseudo-labels right more often?'
  bins = pseudo_label_stats_lib.reliability(known, _EDGES)
  labels = [
    f'{100 * low:.0f} to {100 * high:.0f}' if low < 0.99 else 'all'
    for low, high, _, _ in bins
  ]

  def draw(axes: Any) -> None:
    bars = axes.bar(
      labels, [100 * right for _, _, right, _ in bins], 0.7,
      color=plots.SERIES[0],
    )  # fmt: skip
    axes.bar_label(bars, [f'{n:,} rows' for *_, n in bins], fontsize=8)
    axes.set_xlabel('share of the votes, or probability, %')
    axes.set_ylabel('right, %')
    axes.set_ylim(0, 108)

  return Figure(
    title,
    plots.svg(title, draw),
    'Good: it climbs to the right; where it does, a small share of the votes,'
    ' or a low probability, marks the pseudo-labels that are wrong.',
    [
      {'from': low, 'to': high, 'right': round(right, 4), 'rows': n}
      for low, high, right, n in bins
    ],
  )
