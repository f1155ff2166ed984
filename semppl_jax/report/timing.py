"""Where did the time go? Pace, input, and all that is not training."""

from collections.abc import Iterator, Mapping, Sequence
import math
from typing import Any

import numpy as np

from semppl_jax.report import compared, formatting, plots
from semppl_jax.report.components import Block, Figure, Note, Section, Table
from semppl_jax.report.run_record import Course
from semppl_jax.training.timer import TRAINING

# In the order in which they are stacked.
QUESTION = 'Where did the time go?'
_INPUT = 'waiting for input'
_DRAWN = 20


def section(courses: Sequence[Course]) -> Section:
  """Images per second, input, stretches of time, and the bench."""
  answers = compared.only_first(courses) + [
    text
    for course in courses[: compared.NAMED]
    if (text := _answer(course, len(courses) > 1))
  ]
  if answers == compared.only_first(courses):
    answers = ['No run here has timed anything yet.']
  return Section(
    'time',
    QUESTION,
    answers,
    [*_paces(courses), *_stretches(courses), *_benches(courses)],
  )


def pace(course: Course) -> float | None:
  """Images per second over all the time of training, or None."""
  series = course.metrics.get('images_per_second')
  if series is None or not (series.value > 0).all():
    return None
  return float(len(series.value) / (1 / series.value).sum())


def bench(course: Course) -> float | None:
  """Images per second of its step without input, or None.

  A bench of another batch size is one of another step.
  """
  found = course.bench or {}
  value = found.get('images_per_second')
  if found.get('batch_size', course.batch_size) != course.batch_size:
    return None
  return float(value) if isinstance(value, int | float) and value > 0 else None


def stretches(course: Course) -> dict[str, float]:
  """Seconds of each kind of work, input apart from the training."""
  found: dict[str, float] = {}
  for line in course.timing:
    work, seconds = str(line.get('work')), line.get('seconds')
    if isinstance(seconds, int | float) and math.isfinite(seconds):
      found[work] = found.get(work, 0.0) + float(seconds)
  waited = _waited(course)
  if TRAINING in found and waited is not None:
    found[_INPUT] = found[TRAINING] * waited
    found[TRAINING] -= found[_INPUT]
  return found


def _waited(course: Course) -> float | None:
  """Share of the training in which it waited, by time and not by record."""
  waits, rates = (
    course.metrics.get(name) for name in ('input_wait', 'images_per_second')
  )
  if waits is None or rates is None:
    return None
  common, of_waits, of_rates = np.intersect1d(
    waits.step, rates.step, return_indices=True
  )
  speed = rates.value[of_rates]
  if not len(common) or not (speed > 0).all():
    return None
  return float(np.average(waits.value[of_waits], weights=1 / speed))


def _answer(course: Course, named: bool) -> str:
  rate, spent = pace(course), stretches(course)
  if rate is None and not spent:
    return ''
  parts = []
  if rate is not None:
    parts.append(f'{rate:,.0f} images/s while it trains')
  whole = sum(spent.values())
  if whole:
    parts.append(
      f'{formatting.percent(spent.get(TRAINING, 0) / whole, 0)} of'
      f' {formatting.duration(whole)} went into training'
    )
    wait = spent.get(_INPUT, 0) / whole
    parts.append(f'{formatting.percent(wait, 0)} into waiting for input')
  measured = bench(course)
  if rate is not None and measured:
    parts.append(
      f'{formatting.percent(rate / measured, 0)} of the {measured:,.0f}'
      ' images/s that the bench has without input'
    )
  name = f'{course.name}: ' if named else ''
  return f'{name}{"; ".join(parts)}.'


def _paces(courses: Sequence[Course]) -> Iterator[Block]:
  x = compared.axis(courses)
  rates = compared.curves(courses, {'images/s': 'images_per_second'})
  if rates:
    levels = {}
    if len(courses) == 1:
      measured = bench(courses[0])
      if measured:
        levels = {'bench, without input': measured}
    yield Figure(
      'Pace',
      plots.lines('Pace', rates, x=x, y='images/s', bottom=0, levels=levels),
      'Good: level, and near what tools.bench has without input; dips are a'
      ' machine that is shared, or input that does not keep up.',
      compared.data(rates),
    )
  waits = compared.curves(courses, {'input': 'input_wait'}, scale=100)
  if waits:
    yield Figure(
      'Waiting for input',
      plots.lines(
        'Waiting for input', waits, x=x, y='of the time, %', bottom=0
      ),
      'Good: below 5 %; above it the accelerator idles, and'
      ' data.backend=device, data.crops=device or more cores help.',
      compared.data(waits),
    )


def _stretches(courses: Sequence[Course]) -> Iterator[Block]:
  spent = {c.name: stretches(c) for c in courses if stretches(c)}
  if not spent:
    yield Note(
      'No run here has a timing.jsonl: the time that evaluations and'
      ' checkpoints took is not known.'
    )
    return
  works = _works(spent)
  title = 'What the time was spent on'
  shown = dict([*spent.items()][:_DRAWN])

  def draw(axes: Any) -> None:
    left = [0.0] * len(shown)
    for place, work in enumerate(works):
      widths = [each.get(work, 0.0) / 60 for each in shown.values()]
      names = [plots.short(name) for name in shown]
      axes.barh(
        range(len(names)), widths, 0.6, left,
        color=plots.SERIES[place % len(plots.SERIES)], label=work,
      )  # fmt: skip
      axes.set_yticks(range(len(names)), names)
      left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel('minutes')
    plots.legend(axes)

  yield Figure(
    title,
    plots.svg(title, draw, (plots.SIZE[0], 1.7 + 0.28 * len(shown))),
    'Good: nearly all of it is training; evaluations that take a tenth should'
    ' come less often (eval.every).',
    {name: {w: round(s, 3) for w, s in x.items()} for name, x in spent.items()},
  )
  if len(spent) > len(shown):
    yield Note(f'The first {len(shown)} runs are drawn; the table has all.')
  yield Table(
    'Time in figures',
    ('run', *works, 'all'),
    [
      (
        name,
        *(formatting.duration(each.get(work, 0.0)) for work in works),
        formatting.duration(sum(each.values())),
      )
      for name, each in spent.items()
    ],
    'From the first batch on, steps that a killed run took twice included.',
    folded=True,
  )


def _works(spent: Mapping[str, Mapping[str, float]]) -> list[str]:
  """Kinds of work, the training and its input first."""
  names = {work for each in spent.values() for work in each}
  first = [work for work in (TRAINING, _INPUT) if work in names]
  return first + sorted(names - set(first))


def _benches(courses: Sequence[Course]) -> Iterator[Block]:
  having = [
    (course, own, rate)
    for course in courses
    if (rate := bench(course)) and (own := pace(course))
  ]
  if not having:
    yield Note(
      'Nothing to compare the pace with: python -m semppl_jax.tools.bench'
      ' --config=FILE --out=RUN/bench.json measures the step without input.'
    )
    return
  yield Table(
    'Against the bench',
    ('run', 'images/s of the run', 'images/s of the bench', 'share'),
    [
      (
        course.name,
        formatting.number(own),
        formatting.number(rate),
        formatting.percent(own / rate),
      )
      for course, own, rate in having
    ],
    'Good: above 90 %; what is missing is input, records and the host.',
  )
