"""A classifier on images that are unlike those it learned from."""

import functools

import numpy as np

from semppl_jax.data.pipeline import EvalBatch
from semppl_jax.evaluators import (
  corruptions,
  imagenet_subsets,
  metrics,
  robustness_sets,
)
from semppl_jax.protocols import test_sets
from semppl_jax.protocols.accuracy import accuracy, Figures
from semppl_jax.protocols.evaluated_model import Subject
from semppl_jax.protocols.setup import Context
from semppl_jax.runtime.errors import InputError

# The strengths of `corruptions` are those of CIFAR-10-C.
_LARGEST = 64


def chosen(context: Context) -> list[str]:
  """Names of the test sets to judge by, where ImageNet's classes are known.

  Raises:
    InputError: one that was asked for is not there, or is of other classes.
  """
  c = context.config.robustness
  if context.classes == imagenet_subsets.CLASSES:
    return test_sets.chosen('robustness.sets', c.sets, robustness_sets, c.path)
  if c.sets:
    raise InputError(
      f'config.robustness.sets={c.sets!r} judge classifiers of the'
      f' {imagenet_subsets.CLASSES} classes of ImageNet, and the data has'
      f" {context.classes}; set it to ''."
    )
  return []


def corrupts(context: Context) -> bool:
  """Whether the test images are small enough to be corrupted on the way."""
  small = context.run.eval.crop <= _LARGEST
  return bool(context.config.robustness.corruptions and small)


def run(context: Context, subject: Subject) -> Figures:
  """Top-1 on each set, and how much corruptions harm.

  Args:
    context: the evaluation.
    subject: a network with a classifier.
  """
  figures = {}
  for name in chosen(context):
    figures |= _on_set(context, subject, name)
  if corrupts(context):
    figures |= _corrupted(context, subject)
  return figures


def _on_set(context: Context, subject: Subject, name: str) -> Figures:
  """Figures of one set; its mean corruption error where it has corruptions."""
  described = robustness_sets.SETS[name]
  classes = imagenet_subsets.subset(described.subset)
  figures, errors = {}, {}
  for variant, data in robustness_sets.load(
    name, context.config.robustness.path
  ):
    rows = np.flatnonzero(data.labels >= 0)
    found = subject.features(data, rows, whole=described.cropped)
    # ObjectNet's authors take the best of all classes; the others restrict.
    scores = imagenet_subsets.restrict(
      found.values['logits'], classes, rest=described.subset == 'objectnet'
    )
    if described.metric == 'mce':
      corruption, severity = variant.split('/')
      errors.setdefault(corruption, {})[int(severity)] = 1 - metrics.top_k(
        scores, found.label
      )
      continue
    title = f'{name}/{variant}' if variant else name
    figures |= accuracy(f'robustness/{title}', scores, found.label)
  if errors:
    error = metrics.mean_corruption_error(errors, metrics.ALEXNET_ERROR)
    figures[f'robustness/{name}/mce'] = error.mce
    figures[f'robustness/{name}/mean_error'] = error.mean
  return figures


def _corrupted(context: Context, subject: Subject) -> Figures:
  """Mean top-1 over severities of each corruption of the test images."""
  c = context.config
  rows = np.flatnonzero(context.test.labels >= 0)
  count = min(c.robustness.images or len(rows), len(rows))
  # Spread evenly: a folder has its classes one after the other.
  rows = rows[np.linspace(0, len(rows) - 1, count).astype(int)]
  figures = {}
  for name in corruptions.NAMES:
    right = []
    for severity in metrics.SEVERITIES:
      change = functools.partial(_corrupt, name, severity, c.seed)
      found = subject.features(context.test, rows, change)
      right.append(metrics.top_k(found.values['logits'], found.label))
    figures[f'robustness/corrupted/{name}/top1'] = float(np.mean(right))
  clean = subject.features(context.test, rows)
  figures['robustness/clean/top1'] = metrics.top_k(
    clean.values['logits'], clean.label
  )
  each = [x for k, x in figures.items() if k.startswith('robustness/corrupted')]
  figures['robustness/corrupted/top1'] = float(np.mean(each))
  return figures


def _corrupt(
  name: str, severity: int, seed: int, batch: EvalBatch
) -> EvalBatch:
  image = batch.image.copy()
  kept = batch.valid
  image[kept] = corruptions.apply(
    name, image[kept], severity, seed, batch.index[kept]
  )
  return batch._replace(image=image)
