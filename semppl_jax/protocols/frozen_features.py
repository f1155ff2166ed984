"""Protocols on frozen features: k-NN, soft nearest neighbours, closed forms."""

import functools

from semppl_jax.evaluators import knn_classifier, logistic, ridge, sweep
from semppl_jax.protocols.accuracy import accuracy, Figures
from semppl_jax.protocols.evaluated_model import Subject
from semppl_jax.protocols.objectives import votes
from semppl_jax.protocols.setup import Context


def run_knn(context: Context, subject: Subject) -> Figures:
  """k-NN on the encoder's output (Wu et al., arXiv 1805.01978)."""
  c = context.config.knn
  test, figures = subject.test, {}
  for name in c.support:
    support = subject.support(name)
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
      figures |= accuracy(f'knn/{name}/k{k}', scores, test.label)
  return figures


def run_soft_nn(context: Context, subject: Subject) -> Figures:
  """Soft nearest neighbours (PAWS-NN, arXiv 2104.13963)."""
  kind, scores = votes(context, subject.test, subject.support('labelled'))
  return accuracy(f'soft_nn/{kind}', scores, subject.test.label)


def run_closed_forms(context: Context, subject: Subject) -> Figures:
  """Linear classifiers by L-BFGS and by least squares, regulariser swept."""
  c = context.config
  test, support = subject.test, subject.support(c.linear.labels)
  part = sweep.split(support.label, c.held_out, c.seed)
  figures = {}
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
    context.sweeps[f'{subject.title}, {name}'] = swept.describe()
    scores = swept.classifier.logits(test.values['encoder'])
    figures |= accuracy(f'linear/{name}', scores, test.label)
  return figures
