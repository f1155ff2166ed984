"""Protocols that train: linear evaluation, fine-tuning and the baseline."""

import numpy as np

from semppl_jax.protocols import (
  finetune as finetune_lib,
  frozen_features,
  objectives,
)
from semppl_jax.protocols.accuracy import accuracy, Figures
from semppl_jax.protocols.evaluated_model import Subject
from semppl_jax.protocols.setup import Context


def linear(context: Context) -> Figures:
  """A linear classifier of frozen features, by SGD on crops and flips."""
  c = context.config.linear
  rows = None
  if c.labels == 'train':
    rows = np.flatnonzero(context.splits.train.labels >= 0)
  weights = finetune_lib.run(
    context,
    c,
    'linear',
    init_from=context.checkpoint,
    frozen=True,
    rows=rows,
  )
  return classifier('linear/sgd', Subject(context, weights, 'linear'))


def finetune(context: Context) -> Subject:
  """All weights on the labelled images, from a classifier of zeros."""
  weights = finetune_lib.run(
    context,
    context.config.finetune,
    'finetune',
    init_from=context.checkpoint,
  )
  return Subject(context, weights, 'finetune')


def suncet(context: Context) -> Figures:
  """Soft nearest neighbours after SuNCEt on the labelled images (PAWS)."""
  weights = finetune_lib.run(
    context,
    context.config.suncet,
    'suncet',
    init_from=context.checkpoint,
    task=objectives.CONTRAST,
  )
  found = frozen_features.run_soft_nn(
    context, Subject(context, weights, 'suncet')
  )
  return {f'suncet/{name}': value for name, value in found.items()}


def baseline(context: Context) -> Subject:
  """The same network, on the same labels, from scratch."""
  weights = finetune_lib.run(
    context, context.config.baseline, 'baseline', init_from=''
  )
  return Subject(context, weights, 'baseline')


def classifier(name: str, subject: Subject) -> Figures:
  """Accuracy of the classifier that a network has."""
  test = subject.test
  return accuracy(name, test.values['logits'], test.label)
