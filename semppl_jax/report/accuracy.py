"""Is it learning? k-NN and probe accuracy, baselines, losses."""

from collections.abc import Iterator, Mapping, Sequence
import math

from semppl_jax.report import formatting, plots
from semppl_jax.report.components import Block, Note, Table
from semppl_jax.report.run_record import RunRecord
from semppl_jax.training.metric_writer import COLLAPSE_DEVIATION

_KNN_BASELINES = {'raw pixels': 'pixels', 'untrained encoder': 'untrained'}
_LABELS_ONLY, _SUPERVISED = 'labels only', 'supervised'
_CLASSIFIER = 'classifier/top1'
_COLUMNS = {
  'k-NN, labelled': 'knn/encoder/labelled/k{k}',
  'k-NN, all': 'knn/encoder/train/k{k}',
  'projections, labelled': 'knn/projection/labelled/k{k}',
  'linear probe': 'probe/top1',
  'classifier': _CLASSIFIER,
}
_BASELINE_PHRASES = {
  'raw pixels': 'raw pixels',
  'untrained encoder': 'the untrained encoder',
  _LABELS_ONLY: 'a network trained on the labels only',
}
_NO_LABELS_ONLY = (
  'The accuracy of training on the labels only is unknown: add a run of'
  " method='supervised' with the same labels to this page, or evaluate with"
  ' --baseline (docs: Evaluate).'
)


def blocks(runs: Sequence[RunRecord]) -> Iterator[Block]:
  """Yields accuracies with baselines, losses and warnings."""
  yield from _accuracies(runs)
  yield from _losses(runs)
  yield from _warnings(runs)


def answers(runs: Sequence[RunRecord]) -> list[str]:
  """Returns a sentence per run; of many runs, of the best and the median."""
  if len(runs) <= plots.MAX_NAMED:
    return [_answer(run, runs) for run in runs]
  evaluated = [r for r in runs if r.last(_headline(r)) is not None]
  ranked = sorted(evaluated, key=lambda r: -(r.last(_headline(r)) or 0.0))
  finished = sum(run.finished for run in runs)
  answers = [
    f'{len(runs)} runs, {finished} of them finished and {len(evaluated)}'
    f' evaluated. The curves of the first {plots.MAX_NAMED} have names; the'
    ' others are grey.'
  ]
  if ranked:
    answers += [
      f'Best: {_answer(ranked[0], runs)}',
      f'Median: {_answer(ranked[len(ranked) // 2], runs)}',
    ]
  return answers


def _answer(run: RunRecord, runs: Sequence[RunRecord]) -> str:
  """Returns the progress and the accuracy of a run as one sentence."""
  value = run.last(_headline(run))
  name = f'{run.name}: ' if len(runs) > 1 else ''
  start = f'{name}{run.method}, {_progress(run)}'
  if value is None:
    return f'{start}: no evaluation yet{_next_evaluation(run)}.'
  spread, test_set = '', 'the test images'
  if tests := run.metadata.get('test_images'):
    error = math.sqrt(max(value * (1 - value), 0.0) / tests)
    spread = f' ± {100 * error:.1f}'
    test_set = formatting.count(tests, 'test image')
  by_classifier = _headline(run) == _CLASSIFIER
  differences = [
    f', {formatting.points(value - baseline)} {_BASELINE_PHRASES[title]}'
    for title, baseline in _baselines(run, runs).items()
    if not by_classifier
  ]
  return (
    f'{start}: {"classifier" if by_classifier else "k-NN"} accuracy'
    f' {100 * value:.1f}{spread} % on {test_set}'
    f'{formatting.chance(len(run.class_names))}{"".join(differences)}.'
  )


def _progress(run: RunRecord) -> str:
  if run.finished:
    return f'finished at step {run.step:,}'
  total = run.metadata.get('total_steps')
  share = f' of {total:,} ({run.step / total:.0%})' if total else ''
  return f'at step {run.step:,}{share}'


def _next_evaluation(run: RunRecord) -> str:
  every = run.flat_config.get('eval.every')
  if not run.metadata.get('test_images', 1):
    return ', as there is no test set'
  return f' (eval.every={every!r})' if every else ''


def _k(run: RunRecord) -> int:
  return int(run.flat_config.get('eval.headline_k', 20))


def _headline(run: RunRecord) -> str:
  """Returns the metric of the answer: the classifier's, where there is one."""
  if _CLASSIFIER in run.metrics:
    return _CLASSIFIER
  return f'knn/encoder/labelled/k{_k(run)}'


def _baselines(run: RunRecord, runs: Sequence[RunRecord]) -> dict[str, float]:
  """Returns k-NN accuracies of baselines with the same labelled images."""
  scores = (run.summary or {}).get('knn', {})
  values = {
    title: scores.get(f'knn/{kind}/labelled/k{_k(run)}')
    for title, kind in _KNN_BASELINES.items()
  }
  values[_LABELS_ONLY] = _labels_only(run, runs)
  return {
    title: float(value) for title, value in values.items() if _is_finite(value)
  }


def _labels_only(run: RunRecord, runs: Sequence[RunRecord]) -> object:
  """Returns the k-NN accuracy of training on the labels only, or None."""
  keys, k = ('label_subset', 'test_data'), _k(run)
  same = [run.metadata.get(key) for key in keys]
  comparable = [
    other
    for other in runs
    if None not in same and same == [other.metadata.get(key) for key in keys]
  ]
  for other in (run, *comparable):
    value: object = other.evaluation
    for key in ('protocols', 'knn', 'baseline', f'knn/labelled/k{k}/top1'):
      value = value.get(key) if isinstance(value, Mapping) else None
    if _is_finite(value):
      return value
  scores = [
    other.last(f'knn/encoder/labelled/k{k}')
    for other in comparable
    if other is not run and other.method == _SUPERVISED
  ]
  return max((score for score in scores if score is not None), default=None)


def _is_finite(value: object) -> bool:
  return isinstance(value, int | float) and math.isfinite(value)


def _accuracies(runs: Sequence[RunRecord]) -> Iterator[Block]:
  k = _k(runs[0])
  metrics = {
    f'k-NN, labelled (k = {k})': f'knn/encoder/labelled/k{k}',
    f'k-NN, all (k = {k})': f'knn/encoder/train/k{k}',
    'linear probe': 'probe/top1',
    'classifier': _CLASSIFIER,
  }
  if not plots.first_label(runs, metrics):
    yield Note('There is no evaluation yet, so there is no accuracy to show.')
    return
  # Pixels and networks of several runs may differ.
  levels = {
    title: 100 * value
    for title, value in _baselines(runs[0], runs).items()
    if len(runs) == 1 or (title == _LABELS_ONLY and _same_data(runs))
  }
  for figure in plots.metric_figure(
    plots.metric_title('Test accuracy', runs, metrics), runs, metrics,
    y='top-1, %', scale=100, mark=True, levels=levels,
    good='Good: it rises, and stays above every dashed line. The line that'
    ' matters most is that of training on the labels only.',
  ):  # fmt: skip
    yield figure._replace(data={'curves': figure.data, 'levels': levels})
  if not any(
    _LABELS_ONLY in _baselines(run, runs) or run.method == _SUPERVISED
    for run in runs
  ):
    yield Note(_NO_LABELS_ONLY)
  yield _table(runs)


def _same_data(runs: Sequence[RunRecord]) -> bool:
  keys = ('data', 'test_data', 'label_subset')
  seen = {tuple(run.metadata.get(key) for key in keys) for run in runs}
  return len(seen) == 1 and None not in next(iter(seen))


def _table(runs: Sequence[RunRecord]) -> Table:
  columns = {
    'run': [run.name for run in runs],
    'method': [run.method for run in runs],
    'progress': [_progress(run) for run in runs],
  }
  for title, metric in _COLUMNS.items():
    values = [run.last(metric.format(k=_k(run))) for run in runs]
    columns[title] = [formatting.percent(value) for value in values]
  for title in _BASELINE_PHRASES:
    values = [_baselines(run, runs).get(title) for run in runs]
    columns[title] = [formatting.percent(value) for value in values]
  shown = {title: x for title, x in columns.items() if {*x} != {'-'}}
  return Table(
    'Newest test accuracy',
    tuple(shown),
    [*zip(*shown.values(), strict=True)],
    'k-NN on encoder features, with the labelled or with all train images as'
    ' neighbours. The baselines use the labelled ones.',
  )


def _losses(runs: Sequence[RunRecord]) -> Iterator[Block]:
  names = sorted({
    name for run in runs for name in run.metrics if name.startswith('loss/')
  })  # fmt: skip
  metrics = {'loss': 'loss/total'} | {
    name.removeprefix('loss/').replace('_', ' '): name
    for name in names
    if name != 'loss/total'
  }
  yield from plots.metric_figure(
    'Loss', runs, metrics, y='loss',
    good='Good: it falls quickly, then slowly, and never jumps. Losses of'
    ' different methods or settings cannot be compared.',
  )  # fmt: skip
  metrics = {'gradient': 'norm/grads', 'update': 'norm/updates'}
  yield from plots.metric_figure(
    plots.metric_title('Size of gradients and updates', runs, metrics),
    runs, metrics, y='L2 norm', log=True,
    good='Good: the gradient stays within a factor of ten, and the update'
    ' follows the learning rate. A growing gradient often comes before a loss'
    ' that is not finite.',
  )  # fmt: skip


def _warnings(runs: Sequence[RunRecord]) -> Iterator[Note]:
  dropped = [run.name for run in runs if (run.last('dropped') or 0) > 0]
  if dropped:
    yield Note(
      f'Updates that were not finite were dropped: {", ".join(dropped)}.'
    )
  collapsed = [
    run.name
    for run in runs
    if (run.last('deviation/projection') or 1.0) < COLLAPSE_DEVIATION
  ]
  if collapsed:
    yield Note(
      'Collapse: the projections of a batch are nearly equal:'
      f' {", ".join(collapsed)} (docs: Troubleshooting).'
    )
