"""Frozen features on other data sets (Kornblith et al., arXiv 1805.08974)."""

import dataclasses
import functools

import numpy as np

from semppl_jax.config import loading
from semppl_jax.data import dataset, labels, tfds_splits
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.sources import tfds_numpy
from semppl_jax.evaluators import logistic, metrics, sweep, transfer_sets
from semppl_jax.evaluators.features import Features
from semppl_jax.evaluators.metrics import Metrics
from semppl_jax.evaluators.transfer_sets import TransferData
from semppl_jax.protocols import finetune, setup
from semppl_jax.protocols.evaluated_model import EvaluatedModel
from semppl_jax.protocols.setup import Context


def obstacle(context: Context) -> str:
  """Returns why transfer cannot be measured, or ''.

  Raises:
    InputError: a requested set is unknown or not on the disk.
  """
  if _selected(context):
    return ''
  return (
    'config.transfer.path holds none of its data sets'
    ' (nor does the default folder of tensorflow_datasets)'
  )


def run(context: Context, model: EvaluatedModel) -> Metrics:
  """Logistic regression on every set, each scored by its own metric."""
  c = context.config
  results = {}
  for name in _selected(context):
    data = transfer_sets.load(
      name, c.transfer.path, holdout=c.held_out, seed=c.seed
    )
    train, train_labels = _embed(model, data.train, data.train_labels)
    test, test_labels = _embed(model, data.test, data.test_labels)
    # Positions among the images that could be read.
    part = sweep.Split(
      np.flatnonzero(np.isin(train.index, data.fit)),
      np.flatnonzero(np.isin(train.index, data.validation)),
    )
    score = metrics.BY_NAME[data.metric]
    multi_label = train_labels.ndim == 2
    classes = len(data.train.class_names)
    swept = sweep.sweep(
      logistic.path_multi_label
      if multi_label
      else functools.partial(logistic.path, classes=classes),
      train.values['encoder'],
      train_labels,
      c.transfer.regularisers,
      part,
      score,
    )
    context.sweeps[f'{model.title}, transfer/{name}'] = swept.describe()
    scores = swept.classifier.logits(test.values['encoder'])
    results[f'transfer/{name}/{data.metric}'] = score(scores, test_labels)
    info = transfer_sets.SETS[name]
    if c.transfer.finetune and info.tfds and not multi_label:
      tuned = _finetuned(context, name, data)
      outputs = tuned.features(data.test, np.arange(data.test.size))
      results[f'transfer/{name}/finetune/{data.metric}'] = score(
        outputs.values['logits'], test_labels[outputs.index]
      )
  return results


def _selected(context: Context) -> list[str]:
  c = context.config.transfer
  return setup.select_sets('transfer.sets', c.sets, transfer_sets, c.path)


def _finetuned(
  context: Context, name: str, data: TransferData
) -> EvaluatedModel:
  """Fine-tunes the weights on all train images of a set."""
  info, path = transfer_sets.SETS[name], context.config.transfer.path
  parts = filter(None, (info.train, info.validation))
  run = loading.copy(context.run)
  run.data.update(
    kind='tfds',
    name=tfds_splits.find(info.tfds, path),
    path=tfds_numpy.prepared_dir(path),
    train_split='+'.join(parts),
    test_split=info.test,
    test_holdout=0.0,
    limit=0,
  )
  known = np.flatnonzero(data.train.labels >= 0).astype(np.int32)
  digest = dataset.digest(data.train.ids[known], data.train.labels[known])
  on_set = dataclasses.replace(
    context,
    run=run.lock(),
    splits=dataset.Splits(data.train, data.test),
    subset=labels.LabelSubset(known, digest),
    workdir=context.workdir / 'transfer' / name,
  )
  return finetune.train(
    on_set,
    context.config.finetune,
    'finetune',
    init_from=context.checkpoint,
    title=f'transfer/{name}/finetune',
  )


def _embed(
  model: EvaluatedModel, data: Dataset, labels: np.ndarray
) -> tuple[Features, np.ndarray]:
  """Returns features of a split, and labels of the images that were read."""
  features = model.features(data, np.arange(data.size))
  return features, labels[features.index]
