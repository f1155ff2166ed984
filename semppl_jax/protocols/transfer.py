"""Frozen features on other data sets (Kornblith et al., arXiv 1805.08974)."""

import dataclasses
import functools

import numpy as np

from semppl_jax.config import loading
from semppl_jax.data import dataset, labels, tfds_splits
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.sources import tfds_home
from semppl_jax.evaluators import logistic, metrics, sweep, transfer_sets
from semppl_jax.evaluators.features import Features
from semppl_jax.evaluators.transfer_sets import TransferData
from semppl_jax.protocols import finetune, test_sets
from semppl_jax.protocols.accuracy import Figures
from semppl_jax.protocols.evaluated_model import Subject
from semppl_jax.protocols.setup import Context


def chosen(context: Context) -> list[str]:
  """Names of the sets to judge by.

  Raises:
    InputError: one that was asked for is not there.
  """
  c = context.config.transfer
  return test_sets.chosen('transfer.sets', c.sets, transfer_sets, c.path)


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
    part = sweep.Split(
      np.flatnonzero(np.isin(train.index, data.fit)),
      np.flatnonzero(np.isin(train.index, data.validation)),
    )
    judge = metrics.BY_NAME[data.metric]
    several = train_labels.ndim == 2
    classes = len(data.train.class_names)
    swept = sweep.sweep(
      logistic.path_multi_label
      if several
      else functools.partial(logistic.path, classes=classes),
      train.values['encoder'],
      train_labels,
      c.transfer.regularisers,
      part,
      judge,
    )
    context.sweeps[f'{subject.title}, transfer/{name}'] = swept.describe()
    scores = swept.classifier.logits(test.values['encoder'])
    figures[f'transfer/{name}/{data.metric}'] = judge(scores, test_labels)
    described = transfer_sets.SETS[name]
    if c.transfer.finetune and described.tfds and not several:
      tuned = _tuned(context, name, data)
      found = tuned.features(data.test, np.arange(data.test.size))
      figures[f'transfer/{name}/finetune/{data.metric}'] = judge(
        found.values['logits'], test_labels[found.index]
      )
  return figures


def _tuned(context: Context, name: str, data: TransferData) -> Subject:
  """The weights, fine-tuned on all of a set's train images."""
  described, path = transfer_sets.SETS[name], context.config.transfer.path
  parts = filter(None, (described.train, described.validation))
  run = loading.copy(context.run)
  run.data.update(
    kind='tfds',
    name=tfds_splits.find(described.tfds, path),
    path=tfds_home.home(path),
    train_split='+'.join(parts),
    test_split=described.test,
    test_holdout=0.0,
    limit=0,
  )
  known = np.flatnonzero(data.train.labels >= 0).astype(np.int32)
  digest = dataset.digest(data.train.ids[known], data.train.labels[known])
  there = dataclasses.replace(
    context,
    run=run.lock(),
    splits=dataset.Splits(data.train, data.test),
    subset=labels.LabelSubset(known, digest),
    workdir=context.workdir / 'transfer' / name,
  )
  weights = finetune.run(
    there,
    context.config.finetune,
    'finetune',
    init_from=context.checkpoint,
    title=f'transfer/{name}/finetune',
  )
  return Subject(there, weights, name)


def _embed(
  subject: Subject, data: Dataset, labels: np.ndarray
) -> tuple[Features, np.ndarray]:
  """Features of a whole split, and the labels of the images that were read."""
  found = subject.features(data, np.arange(data.size))
  return found, labels[found.index]
