"""Is it learning? k-NN and probe accuracy, floors, losses."""

from collections.abc import Iterator, Mapping, Sequence
import math
from typing import Any

from semppl_jax.report import compared, formatting, plots
from semppl_jax.report.compared import last
from semppl_jax.report.components import Block, Figure, Note, Section, Table
from semppl_jax.report.run_record import Course
from semppl_jax.training.metric_writer import COLLAPSE_DEVIATION

QUESTION = 'Is it learning?'
_FLOORS = {'raw pixels': 'pixels', 'untrained encoder': 'untrained'}
_LABELS_ONLY, _SUPERVISED = 'labels only', 'supervised'
_CLASSIFIER = 'classifier/top1'
_COLUMNS = {
  'k-NN, labelled': 'knn/encoder/labelled/k{k}',
  'k-NN, all': 'knn/encoder/train/k{k}',
  'projections, labelled': 'knn/projection/labelled/k{k}',
  'linear probe': 'probe/top1',
  'classifier': 'classifier/top1',
}
_FLOOR_WORDS = {
  'raw pixels': 'that of raw pixels',
  'untrained encoder': 'that of the untrained encoder',
  _LABELS_ONLY: 'that of a network trained on the labels alone',
}
_ASK_FLOOR = (
  'What the labels alone give is not known here: add a run of'
  " method='supervised' on the same labels to this page, or evaluate with"
  ' --baseline (docs: Evaluate).'
)


def section(courses: Sequence[Course]) -> Section:
  """Accuracies against the floors, and the losses."""
  return Section(
    'learning',
    QUESTION,
    _answers(courses),
    [*_accuracies(courses), *_losses(courses)],
  )


def k_of(course: Course) -> int:
  """The k that a run is judged by."""
  return int(course.fields.get('eval.headline_k', 20))


def _answers(courses: Sequence[Course]) -> list[str]:
  """A sentence of each run; of many, of the best and the middle one."""
  if len(courses) <= compared.NAMED:
    return [answer(course, courses) for course in courses]
  judged = [c for c in courses if last(c, headline(c)) is not None]
  ranked = sorted(judged, key=lambda c: -(last(c, headline(c)) or 0.0))
  finished = sum(course.finished for course in courses)
  counted = (
    f'{len(courses)} runs, {finished} of them finished and {len(judged)}'
    f' evaluated; the curves of the first {compared.NAMED} have names, the'
    ' others are grey.'
  )
  if not ranked:
    return [counted]
  return [
    counted,
    f'The best: {answer(ranked[0], courses)}',
    f'In the middle: {answer(ranked[len(ranked) // 2], courses)}',
  ]


def answer(course: Course, courses: Sequence[Course]) -> str:
  """One sentence of a run: how far it is, and what that is worth."""
  value = last(course, headline(course))
  run = f'{course.name}: ' if len(courses) > 1 else ''
  if value is None:
    return (
      f'{run}{course.method}, {where(course)}: no evaluation yet'
      f'{_first_evaluation(course)}.'
    )
  tests = course.facts.get('test_images') or 0
  spread = math.sqrt(max(value * (1 - value), 0.0) / max(tests, 1))
  error = f' ± {100 * spread:.1f}' if tests else ''
  judged = formatting.count(tests, 'test image') if tests else 'the test images'
  chance = formatting.chance(len(course.class_names))
  by_neighbours = headline(course) != _CLASSIFIER
  against = [
    f'{formatting.points(value - floor)} {_FLOOR_WORDS[name]}'
    for name, floor in floors(course, courses).items()
    if by_neighbours
  ]
  kind = 'k-NN' if by_neighbours else 'classifier'
  phrases = ', '.join([f'{judged} right{chance}', *against])
  return (
    f'{run}{course.method}, {where(course)}: the {kind} has'
    f' {100 * value:.1f}{error} % of {phrases}.'
  )


def where(course: Course) -> str:
  """How far a run is."""
  total = course.total_steps
  if course.finished:
    return f'finished at step {course.step:,}'
  of = f' of {total:,} ({course.step / total:.0%})' if total else ''
  return f'at step {course.step:,}{of}'


def headline(course: Course) -> str:
  """The metric that a run is judged by: of its classifier, where it has one."""
  if _CLASSIFIER in course.metrics:
    return _CLASSIFIER
  return f'knn/encoder/labelled/k{k_of(course)}'


def floors(course: Course, courses: Sequence[Course]) -> dict[str, float]:
  """k-NN accuracies to compare with, among the same labelled images."""
  k, found = k_of(course), {}
  scores = (course.summary or {}).get('knn', {})
  for name, kind in _FLOORS.items():
    value = scores.get(f'knn/{kind}/labelled/k{k}')
    if _is_share(value):
      found[name] = float(value)
  labels_only = _labels_only(course, courses, k)
  if labels_only is not None:
    found[_LABELS_ONLY] = labels_only
  return found


def _labels_only(
  course: Course, courses: Sequence[Course], k: int
) -> float | None:
  """k-NN accuracy of a network that was trained on the labels alone."""
  same = [course.facts.get(key) for key in ('label_subset', 'test_data')]
  alike = [
    other
    for other in courses
    if None not in same
    and same == [other.facts.get(key) for key in ('label_subset', 'test_data')]
  ]
  for other in (course, *alike):
    value: Any = other.evaluation
    for key in ('protocols', 'knn', 'baseline', f'knn/labelled/k{k}/top1'):
      value = value.get(key) if isinstance(value, Mapping) else None
    if _is_share(value):
      return float(value)
  scores = [
    last(other, f'knn/encoder/labelled/k{k}')
    for other in alike
    if other is not course and other.method == _SUPERVISED
  ]
  return max((score for score in scores if score is not None), default=None)


def _is_share(value: Any) -> bool:
  return isinstance(value, int | float) and math.isfinite(value)


def _first_evaluation(course: Course) -> str:
  every = course.fields.get('eval.every')
  if not course.facts.get('test_images', 1):
    return ': there is no test set'
  return f', eval.every={every!r}' if every else ''


def _accuracies(courses: Sequence[Course]) -> Iterator[Block]:
  k = k_of(courses[0])
  metrics = {
    f'k-NN, labelled (k = {k})': f'knn/encoder/labelled/k{k}',
    f'k-NN, all (k = {k})': f'knn/encoder/train/k{k}',
    'linear probe': 'probe/top1',
    'classifier': 'classifier/top1',
  }
  lines = compared.curves(courses, metrics, scale=100, mark=True)
  if not lines:
    yield Note('There is no evaluation yet, so there is no accuracy to show.')
    return
  # Of several runs pixels and networks may differ, and labels too.
  shared = {_LABELS_ONLY} if _same_data(courses) else set()
  levels = {
    name: 100 * value
    for name, value in floors(courses[0], courses).items()
    if len(courses) == 1 or name in shared
  }
  title = compared.title('Test accuracy', courses, metrics)
  yield Figure(
    title,
    plots.lines(
      title, lines, x=compared.axis(courses), y='top-1, %', levels=levels
    ),
    'Good: it rises, and stays above every dashed line; that of the labels'
    ' alone is the one that counts.',
    {'curves': compared.data(lines), 'levels': levels},
  )
  if not any(
    _LABELS_ONLY in floors(course, courses) or course.method == _SUPERVISED
    for course in courses
  ):
    yield Note(_ASK_FLOOR)
  yield _table(courses)


def _same_data(courses: Sequence[Course]) -> bool:
  """Whether floors of one run are floors of all."""
  keys = ('data', 'test_data', 'label_subset')
  seen = {tuple(c.facts.get(key) for key in keys) for c in courses}
  return len(seen) == 1 and None not in next(iter(seen))


def _table(courses: Sequence[Course]) -> Table:
  columns: dict[str, list[str]] = {
    'run': [course.name for course in courses],
    'method': [course.method for course in courses],
    'where': [where(course) for course in courses],
  }
  for title, metric in _COLUMNS.items():
    values = [last(c, metric.format(k=k_of(c))) for c in courses]
    columns[title] = [formatting.percent(value) for value in values]
  for title in (*_FLOORS, _LABELS_ONLY):
    values = [floors(c, courses).get(title) for c in courses]
    columns[title] = [formatting.percent(value) for value in values]
  shown = {title: x for title, x in columns.items() if {*x} != {'-'}}
  return Table(
    'Newest test accuracy',
    tuple(shown),
    [*zip(*shown.values(), strict=True)],
    'k-NN of the encoder among the labelled and among all train images, and'
    ' floors of the same k-NN among the labelled ones.',
  )


def _losses(courses: Sequence[Course]) -> Iterator[Block]:
  names = sorted({
    name for c in courses for name in c.metrics if name.startswith('loss/')
  })  # fmt: skip
  metrics = {'loss': 'loss/total'} | {
    name.removeprefix('loss/').replace('_', ' '): name
    for name in names
    if name != 'loss/total'
  }
  x = compared.axis(courses)
  lines = compared.curves(courses, metrics)
  if lines:
    yield Figure(
      'Loss',
      plots.lines('Loss', lines, x=x, y='loss'),
      'Good: it falls quickly, then slowly, and never jumps; a loss says little'
      ' across methods and settings.',
      compared.data(lines),
    )
  metrics = {'gradient': 'norm/grads', 'update': 'norm/updates'}
  lines = compared.curves(courses, metrics)
  if lines:
    title = compared.title('Size of gradients and updates', courses, metrics)
    yield Figure(
      title,
      plots.lines(title, lines, x=x, y='L2 norm', log=True),
      'Good: the gradient stays within a factor of ten, and the update follows'
      ' the learning rate; a gradient that climbs comes before a loss that is'
      ' not finite.',
      compared.data(lines),
    )
  dropped = [c.name for c in courses if (last(c, 'dropped') or 0) > 0]
  if dropped:
    yield Note(
      f'Updates that were not finite have been dropped: {", ".join(dropped)}.'
    )
  collapsed = [
    c.name
    for c in courses
    if (last(c, 'deviation/projection') or 1.0) < COLLAPSE_DEVIATION
  ]
  if collapsed:
    yield Note(
      'The projections of a batch are nearly all alike, which is a collapse:'
      f' {", ".join(collapsed)} (docs: Troubleshooting).'
    )
