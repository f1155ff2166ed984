"""Frozen features on other data sets (Kornblith et al., arXiv 1805.08974)."""

import functools

import numpy as np

from semppl_jax.data.dataset import Dataset
from semppl_jax.evaluators import holdout, logistic, metrics, transfer_sets
from semppl_jax.evaluators.features import Features
from semppl_jax.protocols import sets
from semppl_jax.protocols.accuracy import Figures
from semppl_jax.protocols.context import Context
from semppl_jax.protocols.subject import Subject


def chosen(context: Context) -> list[str]:
  """Names of the sets to judge by.

  Raises:
    InputError: one that was asked for is not there.
  """
  c = context.config.transfer
  return sets.chosen('transfer.sets', c.sets, transfer_sets, c.path)


def run(context: Context, subject: Subject) -> Figures:
  """Logistic regression on every set, each judged by its own metric."""
  c = context.config
  figures = {}
  for name in chosen(context):
    data = transfer_sets.load(
      name, c.transfer.path, holdout=c.held_out, seed=c.seed
    )
    train, train_labels = _embed(subject, data.train, data.train_labels)
    test, test_labels = _embed(subject, data.test, data.test_labels)
    # By position among what could be read.
    part = holdout.Split(
      np.flatnonzero(np.isin(train.index, data.fit)),
      np.flatnonzero(np.isin(train.index, data.validation)),
    )
    judge = metrics.BY_NAME[data.metric]
    several = train_labels.ndim == 2
    classes = len(data.train.class_names)
    swept = holdout.sweep(
      logistic.path_multi_label
      if several
      else functools.partial(logistic.path, classes=classes),
      train.values['encoder'],
      train_labels,
      c.transfer.regularisers,
      part,
      judge,
    )
    scores = np.asarray(swept.classifier.logits(test.values['encoder']))
    figures[f'transfer/{name}/{data.metric}'] = judge(scores, test_labels)
  return figures


def _embed(
  subject: Subject, data: Dataset, labels: np.ndarray
) -> tuple[Features, np.ndarray]:
  """Features of a whole split, and the labels of the images that were read."""
  found = subject.features(data, np.arange(data.size))
  return found, labels[found.index]
