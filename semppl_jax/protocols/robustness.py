"""Accuracy of a classifier on shifted and corrupted test images."""

import functools

import numpy as np

from semppl_jax.data.pipeline import EvalBatch
from semppl_jax.evaluators import (
  corruptions,
  imagenet_subsets,
  metrics,
  robustness_sets,
)
from semppl_jax.evaluators.metrics import accuracy, Metrics
from semppl_jax.protocols import setup
from semppl_jax.protocols.evaluated_model import EvaluatedModel
from semppl_jax.protocols.setup import Context
from semppl_jax.runtime.errors import InputError

# The severities of `corruptions` are those of CIFAR-10-C.
_MAX_SIDE = 64


def obstacle(context: Context) -> str:
  """Returns why robustness cannot be measured, or ''.

  Raises:
    InputError: as `selected`.
  """
  if selected(context) or _corrupts(context):
    return ''
  return (
    'it needs a classifier of the 1,000 classes of ImageNet and a test set in'
    ' config.robustness.path, or test images of at most'
    f' {_MAX_SIDE} px to corrupt'
  )


def selected(context: Context) -> list[str]:
  """Returns the test sets to use; none unless the classes are ImageNet's.

  Raises:
    InputError: a requested set is unknown, not on the disk, or the classes are
      not ImageNet's.
  """
  c = context.config.robustness
  if context.classes == imagenet_subsets.CLASSES:
    return setup.select_sets('robustness.sets', c.sets, robustness_sets, c.path)
  if c.sets:
    raise InputError(
      f'config.robustness.sets={c.sets!r} needs a classifier of the'
      f' {imagenet_subsets.CLASSES} classes of ImageNet, and the data has'
      f" {context.classes}; set it to ''."
    )
  return []


def _corrupts(context: Context) -> bool:
  """Returns True if the test images are small enough to be corrupted."""
  small = context.run.eval.crop <= _MAX_SIDE
  return bool(context.config.robustness.corruptions and small)


def run(context: Context, model: EvaluatedModel) -> Metrics:
  """Top-1 accuracy on each set, and under corruptions.

  Args:
    context: the evaluation.
    model: a network with a classifier.
  """
  results = {}
  for name in selected(context):
    results |= _on_set(context, model, name)
  if _corrupts(context):
    results |= _corrupted(context, model)
  return results


def _on_set(context: Context, model: EvaluatedModel, name: str) -> Metrics:
  """Metrics of one set; its mean corruption error where it has corruptions."""
  info = robustness_sets.SETS[name]
  classes = imagenet_subsets.subset(info.subset)
  results, errors = {}, {}
  for variant, data in robustness_sets.load(
    name, context.config.robustness.path
  ):
    rows = np.flatnonzero(data.labels >= 0)
    outputs = model.features(data, rows, whole=info.cropped)
    # ObjectNet's protocol takes the best of all classes; others restrict them.
    scores = imagenet_subsets.restrict(
      outputs.values['logits'], classes, rest=info.subset == 'objectnet'
    )
    if info.metric == 'mce':
      corruption, severity = variant.split('/')
      errors.setdefault(corruption, {})[int(severity)] = 1 - metrics.top_k(
        scores, outputs.label
      )
      continue
    title = f'{name}/{variant}' if variant else name
    results |= accuracy(f'robustness/{title}', scores, outputs.label)
  if errors:
    error = metrics.mean_corruption_error(errors, metrics.ALEXNET_ERROR)
    results[f'robustness/{name}/mce'] = error.mce
    results[f'robustness/{name}/mean_error'] = error.mean
  return results


def _corrupted(context: Context, model: EvaluatedModel) -> Metrics:
  """Mean top-1 over severities of each corruption of the test images."""
  c = context.config
  rows = np.flatnonzero(context.test.labels >= 0)
  count = min(c.robustness.images or len(rows), len(rows))
  # Evenly spaced, as a folder is sorted by class.
  rows = rows[np.linspace(0, len(rows) - 1, count).astype(int)]
  results = {}
  for name in corruptions.NAMES:
    top1 = []
    for severity in metrics.SEVERITIES:
      transform = functools.partial(_corrupt, name, severity, c.seed)
      outputs = model.features(context.test, rows, transform)
      top1.append(metrics.top_k(outputs.values['logits'], outputs.label))
    results[f'robustness/corrupted/{name}/top1'] = float(np.mean(top1))
  clean = model.features(context.test, rows)
  results['robustness/clean/top1'] = metrics.top_k(
    clean.values['logits'], clean.label
  )
  each = [x for k, x in results.items() if k.startswith('robustness/corrupted')]
  results['robustness/corrupted/top1'] = float(np.mean(each))
  return results


def _corrupt(
  name: str, severity: int, seed: int, batch: EvalBatch
) -> EvalBatch:
  image = batch.image.copy()
  valid = batch.valid
  image[valid] = corruptions.apply(
    name, image[valid], severity, seed, batch.index[valid]
  )
  return batch._replace(image=image)
