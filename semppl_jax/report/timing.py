"""Section on time: throughput, waiting for input, other work."""

from collections.abc import Iterator, Sequence
import math

import numpy as np

from semppl_jax.config import durations
from semppl_jax.report import formatting, plots
from semppl_jax.report.components import Block, Figure, Note, Table
from semppl_jax.report.run_record import RunRecord
from semppl_jax.training.timer import TRAINING

_INPUT = 'waiting for input'
_MAX_BARS = 20
# Names of work in older words of the file format.
_WORK_NAMES = {'floors': 'baselines'}


def answers(runs: Sequence[RunRecord]) -> list[str]:
  """Returns a sentence for each of the first runs that recorded times."""
  sentences = [_answer(run, len(runs) > 1) for run in runs[: plots.MAX_NAMED]]
  texts = [text for text in sentences if text]
  if not texts:
    return ['No time was recorded yet.']
  return plots.selection(runs) + texts


def blocks(runs: Sequence[RunRecord]) -> Iterator[Block]:
  """Yields throughput, input, kinds of work and the bench."""
  yield from _rates(runs)
  yield from _work(runs)
  yield from _benches(runs)


def _images_per_second(run: RunRecord) -> float | None:
  """Returns the mean rate over the time of training, or None."""
  series = run.metrics.get('images_per_second')
  if series is None or not (series.value > 0).all():
    return None
  return float(len(series.value) / (1 / series.value).sum())


def _bench_rate(run: RunRecord) -> float | None:
  """Returns images per second without input, at the run's batch size."""
  content = run.bench or {}
  value = content.get('images_per_second')
  if content.get('batch_size', run.batch_size) != run.batch_size:
    return None
  return float(value) if isinstance(value, int | float) and value > 0 else None


def _seconds(run: RunRecord) -> dict[str, float]:
  """Returns seconds by kind of work; training without waiting for input."""
  spent: dict[str, float] = {}
  for line in run.timing:
    work, seconds = str(line.get('work')), line.get('seconds')
    if isinstance(seconds, int | float) and math.isfinite(seconds):
      spent[work] = spent.get(work, 0.0) + float(seconds)
  waited = _waited(run)
  if TRAINING in spent and waited is not None:
    spent[_INPUT] = spent[TRAINING] * waited
    spent[TRAINING] -= spent[_INPUT]
  return spent


def _waited(run: RunRecord) -> float | None:
  """Returns the share of the training time spent waiting, or None."""
  waits, rates = (
    run.metrics.get(name) for name in ('input_wait', 'images_per_second')
  )
  if waits is None or rates is None:
    return None
  common, wait_rows, rate_rows = np.intersect1d(
    waits.step, rates.step, return_indices=True
  )
  rate = rates.value[rate_rows]
  if not len(common) or not (rate > 0).all():
    return None
  # A record weighs as much as the time that it covers.
  return float(np.average(waits.value[wait_rows], weights=1 / rate))


def _answer(run: RunRecord, named: bool) -> str:
  rate, spent = _images_per_second(run), _seconds(run)
  parts = []
  if rate is not None:
    parts.append(f'{rate:,.0f} images/s in training')
  total = sum(spent.values())
  if total:
    parts += [
      f'{formatting.percent(spent.get(TRAINING, 0) / total, 0)} of'
      f' {durations.in_words(total)} was training',
      f'{formatting.percent(spent.get(_INPUT, 0) / total, 0)} was waiting for'
      ' input',
    ]
  bench = _bench_rate(run)
  if rate is not None and bench:
    parts.append(
      f'the rate is {formatting.percent(rate / bench, 0)} of the {bench:,.0f}'
      ' images/s of the bench without input'
    )
  name = f'{run.name}: ' if named else ''
  return f'{name}{"; ".join(parts)}.' if parts else ''


def _rates(runs: Sequence[RunRecord]) -> Iterator[Block]:
  bench = _bench_rate(runs[0]) if len(runs) == 1 else None
  yield from plots.metric_figure(
    'Pace', runs, {'images/s': 'images_per_second'}, y='images/s', bottom=0,
    levels={'bench, without input': bench} if bench else {},
    good='Good: constant, and near the rate of tools.bench without input. It'
    ' drops where the machine is shared or the input is too slow.',
  )  # fmt: skip
  yield from plots.metric_figure(
    'Waiting for input', runs, {'input': 'input_wait'}, y='of the time, %',
    scale=100, bottom=0,
    good='Good: below 5 %. Above, the accelerator is idle:'
    ' data.backend=device, data.crops=device or more CPU cores help.',
  )  # fmt: skip


def _work(runs: Sequence[RunRecord]) -> Iterator[Block]:
  every = {run.name: _seconds(run) for run in runs}
  spent = {name: seconds for name, seconds in every.items() if seconds}
  if not spent:
    yield Note(
      'There is no timing.jsonl: the time of evaluations and checkpoints is'
      ' unknown.'
    )
    return
  names = {work for seconds in spent.values() for work in seconds}
  first = [work for work in (TRAINING, _INPUT) if work in names]
  works = first + sorted(names - set(first))
  title = 'What the time was spent on'
  shown = dict([*spent.items()][:_MAX_BARS])

  def draw(axes: plots.Axes) -> None:
    left = np.zeros(len(shown))
    for place, work in enumerate(works):
      widths = np.asarray([x.get(work, 0.0) / 60 for x in shown.values()])
      axes.barh(
        range(len(shown)), widths, 0.6, left,
        color=plots.SERIES[place % len(plots.SERIES)],
        label=_WORK_NAMES.get(work, work),
      )  # fmt: skip
      left += widths
    axes.set_yticks(range(len(shown)), [plots.short(name) for name in shown])
    axes.invert_yaxis()
    axes.set_xlabel('minutes')
    plots.legend(axes)

  yield Figure(
    title,
    plots.svg(title, draw, (plots.SIZE[0], 1.7 + 0.28 * len(shown))),
    'Good: nearly all of it is training. If evaluations take a tenth, run them'
    ' less often (eval.every).',
    {name: {w: round(s, 3) for w, s in x.items()} for name, x in spent.items()},
  )
  if len(spent) > len(shown):
    yield Note(f'The first {len(shown)} runs are drawn; the table has all.')
  yield Table(
    'Time in figures',
    ('run', *(_WORK_NAMES.get(work, work) for work in works), 'all'),
    [
      (
        name,
        *(durations.in_words(seconds.get(work, 0.0)) for work in works),
        durations.in_words(sum(seconds.values())),
      )
      for name, seconds in spent.items()
    ],
    'From the first batch on. Steps that a killed run repeated count twice.',
    folded=True,
  )


def _benches(runs: Sequence[RunRecord]) -> Iterator[Block]:
  rows = [
    (
      run.name,
      formatting.number(rate),
      formatting.number(bench),
      formatting.percent(rate / bench),
    )
    for run in runs
    if (bench := _bench_rate(run)) and (rate := _images_per_second(run))
  ]
  if not rows:
    yield Note(
      'There is no bench to compare with: python -m semppl_jax.tools.bench'
      ' --config=FILE --out=RUN/bench.json measures the step without input.'
    )
    return
  yield Table(
    'Against the bench',
    ('run', 'images/s of the run', 'images/s of the bench', 'share'),
    rows,
    'Good: above 90 %. The rest is input, logging and other work of the host.',
  )
