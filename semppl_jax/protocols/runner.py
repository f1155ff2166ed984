"""Runs protocols in turn, for the given weights and for a labels-only baseline.

A new protocol is an entry of `PROTOCOLS`: a function from the evaluation and
its models to metrics. A new metric is a function in `evaluators/metrics.py`,
called by the protocol that reports it.
"""

from collections.abc import Callable
import functools
import logging
import time
from typing import NamedTuple

from semppl_jax.config import loading
from semppl_jax.evaluators.metrics import Metrics
from semppl_jax.protocols import (
  finetune,
  frozen_features,
  robustness,
  transfer,
)
from semppl_jax.protocols.evaluated_model import EvaluatedModel
from semppl_jax.protocols.results import BASELINE, EvaluationResults, FIGURES
from semppl_jax.protocols.setup import Context
from semppl_jax.runtime.errors import InputError

_log = logging.getLogger(__name__)


class Models:
  """Models of one role, each trained when first needed.

  Attributes:
    role: `FIGURES` for the weights under evaluation, or `BASELINE`.
  """

  def __init__(self, context: Context, role: str):
    """Remembers the role; trains nothing yet."""
    self.role = role
    self._context = context

  @functools.cached_property
  def encoder(self) -> EvaluatedModel:
    """The weights as they are; for the baseline, trained from scratch."""
    if self.role == BASELINE:
      return finetune.labels_only(self._context)
    return EvaluatedModel(self._context, self._context.weights, 'weights')

  @functools.cached_property
  def finetuned(self) -> EvaluatedModel:
    """The weights after fine-tuning; the baseline needs none."""
    if self.role == BASELINE:
      return self.encoder
    return finetune.finetuned(self._context)

  @property
  def classifier(self) -> EvaluatedModel:
    """The weights if they classify the classes of the data, else fine-tuned."""
    weights, classes = self._context.weights, self._context.classes
    if self.role == FIGURES and 'classifier' in weights.heads:
      names = tuple(self._context.splits.train.class_names)
      own = weights.network.classifier.classes
      if own == classes and weights.class_names in ((), names):
        return self.encoder
      _log.info(
        'The %d classes of the classifier of %s are not the %d classes of the'
        ' data; the network is fine-tuned.',
        own,
        weights.origin,
        classes,
      )
    return self.finetuned


class Protocol(NamedTuple):
  """One protocol.

  Attributes:
    run: returns its metrics.
    obstacle: returns why data or weights do not allow it, or ''.
  """

  run: Callable[[Context, Models], Metrics]
  obstacle: Callable[[Context], str] = lambda context: ''


def check(protocol: str) -> None:
  """Checks the name of a protocol.

  Raises:
    ConfigError: it is neither in `PROTOCOLS` nor `'all'`.
  """
  names = (*PROTOCOLS, ALL)
  if protocol not in names:
    near = loading.nearest(protocol, names)
    raise loading.ConfigError(
      f'--protocol={protocol} must be one of {", ".join(names)}'
      + (f'; did you mean {near!r}?' if near else '.')
    )


def run(
  context: Context, protocol: str, with_baseline: bool
) -> EvaluationResults:
  """Runs protocols whose results are not yet in the working directory.

  Args:
    context: the evaluation.
    protocol: one of `PROTOCOLS`, or `'all'` that the data allows.
    with_baseline: also train the same network on the same labels from scratch
      and report its metrics beside.

  Raises:
    InputError: the data does not allow the protocol, or the working directory
      holds another evaluation.
    StoppedError: the program was asked to stop.
  """
  names = _runnable(context, protocol)
  results = EvaluationResults(context)
  for role in (FIGURES, BASELINE) if with_baseline else (FIGURES,):
    models = Models(context, role)
    for name in names:
      if results.has(name, role):
        continue
      start = time.monotonic()
      results.add(name, role, PROTOCOLS[name].run(context, models))
      _log.info('%s (%s): %.0f s.', name, role, time.monotonic() - start)
  return results


def _runnable(context: Context, protocol: str) -> list[str]:
  """Returns the protocols to run; logs why `'all'` skips others."""
  names = list(PROTOCOLS) if protocol == ALL else [protocol]
  reasons = {name: PROTOCOLS[name].obstacle(context) for name in names}
  for name, reason in reasons.items():
    if reason and protocol != ALL:
      raise InputError(f'--protocol={name} cannot be run: {reason}.')
    if reason:
      _log.info('%s is skipped: %s.', name, reason)
  return [name for name in names if not reasons[name]]


def _linear(context: Context, models: Models) -> Metrics:
  metrics = frozen_features.run_closed_forms(context, models.encoder)
  if models.role == FIGURES:
    return finetune.run_linear(context) | metrics
  if context.config.linear.labels == 'labelled':
    # With all train labels, the other classifiers have seen more labels.
    metrics |= finetune.classifier_accuracy('linear/sgd', models.encoder)
  return metrics


def _suncet(context: Context, models: Models) -> Metrics:
  # The baseline has no projections.
  return finetune.run_suncet(context) if models.role == FIGURES else {}


def _no_projector(context: Context) -> str:
  if 'projector' in context.weights.heads:
    return ''
  return f'{context.weights.origin} has no projector'


PROTOCOLS = {
  'knn': Protocol(lambda c, m: frozen_features.run_knn(c, m.encoder)),
  'soft_nn': Protocol(lambda c, m: frozen_features.run_soft_nn(c, m.encoder)),
  'linear': Protocol(_linear),
  'finetune': Protocol(
    lambda c, m: finetune.classifier_accuracy('finetune', m.finetuned)
  ),
  'suncet': Protocol(_suncet, _no_projector),
  'robustness': Protocol(
    lambda c, m: robustness.run(c, m.classifier), robustness.obstacle
  ),
  'transfer': Protocol(
    lambda c, m: transfer.run(c, m.encoder), transfer.obstacle
  ),
}
ALL = 'all'
