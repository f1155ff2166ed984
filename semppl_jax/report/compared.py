"""How curves of one run, and of many, are put into one drawing."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semppl_jax.report import plots
from semppl_jax.report.plots import Line
from semppl_jax.report.run_record import Course, Series

# Runs whose curves have names; the others stand behind them, grey.
NAMED = 8


def only_first(courses: Sequence[Course]) -> list[str]:
  """Says that sentences are of the first runs alone, where there are more."""
  if len(courses) <= NAMED:
    return []
  return [f'Of the first {NAMED} of {len(courses)} runs:']


def axis(courses: Sequence[Course]) -> str:
  """Name of the axis of progress: images where batches are not equal."""
  sizes = {course.batch_size for course in courses}
  return 'Steps' if len(sizes) == 1 else 'Images seen'


def progress(
  course: Course, courses: Sequence[Course], step: np.ndarray
) -> np.ndarray:
  """Steps of a run on the axis that it shares with the others."""
  return step * (1 if axis(courses) == 'Steps' else course.batch_size)


def curves(
  courses: Sequence[Course],
  metrics: Mapping[str, str],
  *,
  scale: float = 1.0,
  mark: bool = False,
  most: int = 200,
) -> list[Line]:
  """Curves of some metrics of one run, or of the first metric of many.

  Args:
    courses: the runs; of many, the first have names.
    metrics: metric by the name of its curve; those that a run lacks are left
      out.
    scale: values are multiplied by it.
    mark: whether every point is a measurement of its own, to be marked.
    most: points of another curve; of more, neighbours are averaged.
  """
  found = []
  if len(courses) == 1:
    (course,) = courses
    wanted = [
      (label, course, metric, False)
      for label, metric in metrics.items()
      if metric in course.metrics
    ]
  else:
    metric = metrics.get(_first(courses, metrics), '')
    wanted = [
      (course.name, course, metric, place >= NAMED)
      for place, course in enumerate(c for c in courses if metric in c.metrics)
    ]
  for label, course, metric, faint in wanted:
    series = course.metrics[metric]
    x = progress(course, courses, series.step)
    y = series.value * scale
    if not mark:
      x, y = plots.thinned(x, y, most)
    found.append(Line(label, x, y, mark, faint))
  return found


def title(
  text: str, courses: Sequence[Course], metrics: Mapping[str, str]
) -> str:
  """A title; of many runs with the one metric that is drawn of them."""
  label = _first(courses, metrics) if len(courses) > 1 else ''
  return f'{text}: {label}' if label else text


def _first(courses: Sequence[Course], metrics: Mapping[str, str]) -> str:
  """Label of the first metric that any of the runs has, or ''."""
  return next(
    (k for k, m in metrics.items() if any(m in c.metrics for c in courses)), ''
  )


def data(lines: Sequence[Line]) -> dict[str, Any]:
  """The curves as JSON holds them, by name."""
  return {
    line.label: {'x': plots.rounded(line.x), 'y': plots.rounded(line.y)}
    for line in lines
  }


def last(course: Course, metric: str) -> float | None:
  """Newest value of a metric, or None."""
  series = course.metrics.get(metric)
  return series.last if series is not None else None


def recent(course: Course, metric: str) -> float | None:
  """Mean of the last quarter of the records of a metric, or None."""
  series: Series | None = course.metrics.get(metric)
  return series.recent() if series is not None else None
