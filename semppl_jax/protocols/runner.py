"""Runs protocols one after the other, beside the labels-only baseline."""

from collections.abc import Callable
import functools
import logging
import time

from semppl_jax.config import loading
from semppl_jax.protocols import frozen_features, robustness, trained, transfer
from semppl_jax.protocols.accuracy import Figures
from semppl_jax.protocols.evaluated_model import Subject
from semppl_jax.protocols.results import BASELINE, FIGURES, Result
from semppl_jax.protocols.setup import Context
from semppl_jax.runtime.errors import InputError

_log = logging.getLogger(__name__)
NAMES = (
  'knn',
  'soft_nn',
  'linear',
  'finetune',
  'suncet',
  'robustness',
  'transfer',
)
ALL = 'all'
# Protocols that train no weights of the network, the same for every subject.
_OF_FEATURES: dict[str, Callable[[Context, Subject], Figures]] = {
  'knn': frozen_features.run_knn,
  'soft_nn': frozen_features.run_soft_nn,
  'transfer': transfer.run,
}


def check(protocol: str) -> None:
  """Stops on a protocol that is not there.

  Raises:
    ConfigError: it is neither one of `NAMES` nor `'all'`.
  """
  names = (*NAMES, ALL)
  if protocol not in names:
    near = loading.nearest(protocol, names)
    raise loading.ConfigError(
      f'--protocol={protocol} must be one of {", ".join(names)}'
      + (f'; did you mean {near!r}?' if near else '.')
    )


def run(context: Context, protocol: str, with_baseline: bool) -> Result:
  """Evaluates, and keeps what an earlier call has evaluated already.

  Args:
    context: the evaluation.
    protocol: one of `NAMES`, or `'all'` that the data allows.
    with_baseline: also train the same network on the same labels from scratch,
      and give its figures beside.

  Raises:
    InputError: the data does not allow the protocol, or the working directory
      has figures of something else.
    StoppedError: somebody asked to stop.
  """
  names = _allowed(context, protocol)
  result = Result(context)
  people: dict[str, _Weights | _LabelsOnly] = {FIGURES: _Weights(context)}
  if with_baseline:
    people[BASELINE] = _LabelsOnly(context)
  for who, person in people.items():
    for name in names:
      if result.has(name, who):
        continue
      began = time.monotonic()
      figures = person.figures(name)
      result.add(name, who, figures)
      seconds = time.monotonic() - began
      _log.info('%s (%s): %.0f s.', name, who, seconds)
  return result


def _allowed(context: Context, protocol: str) -> list[str]:
  """The protocols to run; what 'all' leaves out is logged with its reason."""
  if protocol != ALL:
    if reason := _reason(context, protocol):
      raise InputError(f'--protocol={protocol} cannot be run: {reason}.')
    return [protocol]
  reasons = {name: _reason(context, name) for name in NAMES}
  for name, reason in reasons.items():
    if reason:
      _log.info('%s is left out: %s.', name, reason)
  return [name for name, reason in reasons.items() if not reason]


def _reason(context: Context, protocol: str) -> str:
  """Why the data or the weights do not allow a protocol; '' if they do."""
  if protocol == 'suncet' and 'projector' not in context.weights.heads:
    return f'{context.weights.origin} has no projector'
  if protocol == 'robustness' and not (
    robustness.chosen(context) or robustness.corrupts(context)
  ):
    return (
      'it needs a classifier of the 1,000 classes of ImageNet and a test set in'
      ' config.robustness.path, or test images of at most 64 px to corrupt'
    )
  if protocol == 'transfer' and not transfer.chosen(context):
    return (
      'config.transfer.path holds none of its data sets'
      ' (nor does the default folder of tensorflow_datasets)'
    )
  return ''


class _Weights:
  """The figures of the weights under evaluation."""

  def __init__(self, context: Context):
    self._context = context

  @functools.cached_property
  def _own(self) -> Subject:
    return Subject(self._context, self._context.weights, 'weights')

  @functools.cached_property
  def _tuned(self) -> Subject:
    return trained.finetune(self._context)

  def figures(self, name: str) -> Figures:
    """Figures of one protocol."""
    c = self._context
    if name == 'linear':
      closed = frozen_features.run_closed_forms(c, self._own)
      return trained.linear(c) | closed
    if name == 'finetune':
      return trained.classifier('finetune', self._tuned)
    if name == 'suncet':
      return trained.suncet(c)
    if name == 'robustness':
      return robustness.run(c, self._classifying())
    return _OF_FEATURES[name](c, self._own)

  def _classifying(self) -> Subject:
    """The network itself if it classifies, else the fine-tuned one."""
    weights, train = self._context.weights, self._context.splits.train
    classes = weights.network.classifier.classes
    same = weights.class_names in ((), tuple(train.class_names))
    if 'classifier' in weights.heads:
      if same and classes == self._context.classes:
        return self._own
      _log.info(
        'The classifier of %s has %d classes that are not the %d of the data;'
        ' another is fine-tuned.',
        weights.origin,
        classes,
        self._context.classes,
      )
    return self._tuned


class _LabelsOnly:
  """The figures of the same network, on the same labels, from scratch."""

  def __init__(self, context: Context):
    self._context = context

  @functools.cached_property
  def _own(self) -> Subject:
    return trained.baseline(self._context)

  def figures(self, name: str) -> Figures:
    """Figures of one protocol; its own classifier where others train one."""
    c = self._context
    if name == 'linear':
      return self._linear()
    if name == 'finetune':
      return trained.classifier('finetune', self._own)
    if name == 'robustness':
      return robustness.run(c, self._own)
    if name == 'suncet':
      return {}  # It has no projections to bring together.
    return _OF_FEATURES[name](c, self._own)

  def _linear(self) -> Figures:
    c = self._context
    figures = frozen_features.run_closed_forms(c, self._own)
    if c.config.linear.labels == 'labelled':
      # With all of train, the other classifier has seen more labels.
      figures |= trained.classifier('linear/sgd', self._own)
    return figures
