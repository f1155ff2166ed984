"""Protocols on frozen features: k-NN, soft nearest neighbours, closed forms."""

import functools

import numpy as np

from semppl_jax.evaluators import (
  knn_classifier,
  logistic,
  ridge,
  soft_nn,
  sweep,
)
from semppl_jax.evaluators.features import Features
from semppl_jax.evaluators.metrics import accuracy, Metrics
from semppl_jax.protocols.evaluated_model import EvaluatedModel
from semppl_jax.protocols.setup import Context


def run_knn(context: Context, model: EvaluatedModel) -> Metrics:
  """k-NN on the encoder's output (Wu et al., arXiv 1805.01978)."""
  c = context.config.knn
  test, metrics = model.test, {}
  for name in c.support:
    support = model.support(name)
    votes = knn_classifier.scores(
      test.values['encoder'],
      support.values['encoder'],
      support.label,
      context.classes,
      c.k,
      c.temperature,
      context.mesh,
    )
    for k, scores in votes.items():
      metrics |= accuracy(f'knn/{name}/k{k}', scores, test.label)
  return metrics


def run_soft_nn(context: Context, model: EvaluatedModel) -> Metrics:
  """Soft nearest neighbours (PAWS-NN, arXiv 2104.13963)."""
  kind, scores = soft_nn_scores(context, model.test, model.support('labelled'))
  return accuracy(f'soft_nn/{kind}', scores, model.test.label)


def soft_nn_scores(
  context: Context, query: Features, support: Features
) -> tuple[str, np.ndarray]:
  """Returns the kind of embedding and soft nearest neighbour scores [M, C]."""
  c = context.config.soft_nn
  # A network without that head, such as the baseline, uses its encoder.
  kind = c.embedding if c.embedding in query.values else 'encoder'
  scores = soft_nn.scores(
    query.values[kind],
    support.values[kind],
    support.label,
    context.classes,
    c.temperature,
    context.mesh,
  )
  return kind, scores


def run_closed_forms(context: Context, model: EvaluatedModel) -> Metrics:
  """Linear classifiers by L-BFGS and by least squares, regularizer swept."""
  c = context.config
  test, support = model.test, model.support(c.linear.labels)
  part = sweep.split(support.label, c.held_out, c.seed)
  metrics = {}
  for name, form in (('logistic', logistic), ('ridge', ridge)):
    if not c.linear[name]:
      continue
    swept = sweep.sweep(
      functools.partial(form.path, classes=context.classes),
      support.values['encoder'],
      support.label,
      c.linear.regularisers,
      part,
    )
    context.sweeps[f'{model.title}, {name}'] = swept.describe()
    scores = swept.classifier.logits(test.values['encoder'])
    metrics |= accuracy(f'linear/{name}', scores, test.label)
  return metrics
