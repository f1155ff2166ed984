"""Training on the labelled images, by the same loop that pre-trains.

Each candidate of a sweep trains on a part of the labelled images and is scored
on the rest; the best one trains again on all of them. The test set takes no
part. Each candidate is a run of its own: a stopped one continues, and a
finished one is not repeated.
"""

from collections.abc import Callable
import itertools
import logging
import pathlib
from typing import NamedTuple

import ml_collections
import numpy as np

from semppl_jax.config import durations, loading
from semppl_jax.evaluators import sweep as sweep_lib
from semppl_jax.evaluators.metrics import accuracy, Metrics, top_k
from semppl_jax.exchange import run_checkpoint
from semppl_jax.models.weights import Weights
from semppl_jax.protocols import frozen_features
from semppl_jax.protocols.evaluated_model import EvaluatedModel
from semppl_jax.protocols.setup import Context
from semppl_jax.runtime.errors import StoppedError
from semppl_jax.runtime.files import write_text
from semppl_jax.training import loop

_log = logging.getLogger(__name__)
_NO_COLOR_AUGMENTATION = {
  'jitter': 0.0,
  'grayscale': 0.0,
  'blur': (0.0, 0.0),
  'solarize': (0.0, 0.0),
  'equalize': 0.0,
}


class Objective(NamedTuple):
  """Training objective.

  Attributes:
    configure: `(training config, recipe)`: sets the method and its fields.
    score: `(context, model, fit, held_out) -> top-1` on the train images
      `held_out`, of a model trained on `fit`; both are rows of the train set.
  """

  configure: Callable[
    [ml_collections.ConfigDict, ml_collections.ConfigDict], None
  ]
  score: Callable[[Context, EvaluatedModel, np.ndarray, np.ndarray], float]


def _configure_classify(c, recipe) -> None:
  """Cross-entropy on one view of each image."""
  c.method = 'supervised'
  c.network.classifier.update(classes=0, input=recipe.classify)
  c.views.large.count = 1
  c.optimizer.final_learning_rate = 0.0


def _score_classify(context, model, fit, held_out) -> float:
  del fit
  query = model.features(context.splits.train, np.sort(held_out))
  return top_k(query.values['logits'], query.label, 1)


def _configure_contrast(c, recipe) -> None:
  """SuNCEt on the projections of a few views of each image."""
  c.method = 'suncet'
  c.suncet.update(temperature=recipe.temperature, contrast_weight=0.0)
  c.suncet.labelled = 'batch'
  c.views.large.count = recipe.views
  c.optimizer.final_learning_rate = recipe.final_learning_rate


def _score_contrast(context, model, fit, held_out) -> float:
  support, query = (
    model.features(context.splits.train, np.sort(rows))
    for rows in (fit, held_out)
  )
  _, scores = frozen_features.soft_nn_scores(context, query, support)
  return top_k(scores, query.label, 1)


CLASSIFY = Objective(_configure_classify, _score_classify)
CONTRAST = Objective(_configure_contrast, _score_contrast)


def run_linear(context: Context) -> Metrics:
  """Linear classifier of frozen features, by SGD on crops and flips."""
  c = context.config.linear
  rows = None
  if c.labels == 'train':
    rows = np.flatnonzero(context.splits.train.labels >= 0)
  model = train(
    context, c, 'linear', init_from=context.checkpoint, frozen=True, rows=rows
  )
  return classifier_accuracy('linear/sgd', model)


def finetuned(context: Context) -> EvaluatedModel:
  """Trains all weights on the labelled images, with a new classifier."""
  c = context.config.finetune
  return train(context, c, 'finetune', init_from=context.checkpoint)


def labels_only(context: Context) -> EvaluatedModel:
  """Trains the same network on the same labels from scratch."""
  return train(context, context.config.baseline, 'baseline', init_from='')


def run_suncet(context: Context) -> Metrics:
  """Soft nearest neighbours after SuNCEt on the labelled images (PAWS)."""
  model = train(
    context,
    context.config.suncet,
    'suncet',
    init_from=context.checkpoint,
    objective=CONTRAST,
  )
  metrics = frozen_features.run_soft_nn(context, model)
  return {f'suncet/{name}': value for name, value in metrics.items()}


def classifier_accuracy(name: str, model: EvaluatedModel) -> Metrics:
  """Returns the test accuracy of the model's own classifier."""
  return accuracy(name, model.test.values['logits'], model.test.label)


def train(
  context: Context,
  recipe: ml_collections.ConfigDict,
  name: str,
  *,
  init_from: str,
  frozen: bool = False,
  rows: np.ndarray | None = None,
  title: str = '',
  objective: Objective = CLASSIFY,
) -> EvaluatedModel:
  """Sweeps a recipe on held-out labels, then trains on all labels.

  Args:
    context: the evaluation; its `sweeps` receive the candidates and the choice.
    recipe: a recipe as in `configs/evaluate/base.py`.
    name: folder of the runs in the working directory.
    init_from: weights to start from, or '' for none.
    frozen: train the classifier only.
    rows: labelled images, positions in the train set (default: the subset).
    title: name of the sweep in the results (default: `name`).
    objective: the training objective.

  Raises:
    StoppedError: the program was asked to stop.
  """
  rows = context.subset.index if rows is None else rows
  folder = context.workdir / name
  candidates = [
    {'learning_rate': rate, 'weight_decay': decay}
    for rate, decay in itertools.product(
      recipe.learning_rates, recipe.weight_decays
    )
  ]

  def train_one(
    run: str, some: np.ndarray, candidate: dict[str, float]
  ) -> Weights:
    config = _training_config(
      context, recipe, len(some), candidate, init_from, frozen, objective
    )
    _log.info('%s: %s.', run, candidate)
    return _run_loop(context, config, folder / run, some)

  sweep = []
  chosen = candidates[0]
  if len(candidates) > 1:
    label = context.splits.train.labels[rows]
    fit, held = sweep_lib.split(
      label, context.config.held_out, context.config.seed
    )
    if len(held):
      for number, candidate in enumerate(candidates):
        weights = train_one(f'sweep-{number}', rows[fit], candidate)
        model = EvaluatedModel(context, weights, f'{name}, sweep {number}')
        top1 = objective.score(context, model, rows[fit], rows[held])
        sweep.append(candidate | {'held_out_top1': top1})
      best = max(range(len(sweep)), key=lambda n: sweep[n]['held_out_top1'])
      chosen = candidates[best]
    else:
      _log.info('%s: no sweep, as each class has a single label.', name)
  weights = train_one('final', rows, chosen)
  context.sweeps[title or name] = {'tried': sweep, 'chosen': chosen}
  return EvaluatedModel(context, weights, title or name)


def _run_loop(
  context: Context,
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  rows: np.ndarray,
) -> Weights:
  """Trains one run on the labels of `rows` and returns its last weights."""
  ids = workdir.parent / f'{workdir.name}-labels.txt'
  ids.parent.mkdir(parents=True, exist_ok=True)
  # Every process writes the same file, so that none reads a missing one.
  names = context.splits.train.ids[rows]
  write_text(ids, ''.join(f'{name}\n' for name in names))
  with config.unlocked():
    config.data.labels = f'ids:{ids}'
  if loop.run(config, workdir, context.devices) is None:
    raise StoppedError
  return run_checkpoint.read(workdir)


def _training_config(
  context: Context,
  recipe: ml_collections.ConfigDict,
  labelled: int,
  candidate: dict[str, float],
  init_from: str,
  frozen: bool,
  objective: Objective,
) -> ml_collections.ConfigDict:
  """Returns the config of one run on `labelled` images."""
  c = loading.copy(context.run)
  devices = context.mesh.size
  # At most one row per image, and the same number of rows on every device.
  batch = max(min(recipe.batch_size, labelled) // devices, 1) * devices
  steps = durations.steps(recipe.duration, batch, labelled)
  warmup = durations.steps(recipe.warmup, batch, labelled)
  c.init_from, c.init_heads = init_from, ('projector',)
  c.supervised.frozen = frozen
  c.batch_size = c.data.labelled_per_batch = batch
  c.duration = f'{steps} steps'
  c.log_every = f'{max(steps // 20, 1)} steps'
  c.views.large.update(size=c.eval.crop, area=tuple(recipe.area))
  c.views.small.count = 0
  c.saliency.probability = 0.0
  if not recipe.colors:
    c.augment.update(_NO_COLOR_AUGMENTATION)
  c.optimizer.update(
    name=recipe.optimizer,
    start_learning_rate=0.0,
    reference_batch=recipe.reference_batch,
    momentum=recipe.momentum,
    warmup=f'{warmup} steps',
    **candidate,
  )
  objective.configure(c, recipe)
  c.probe.enabled = False
  c.eval.update(every='0 steps', baselines=False)
  c.checkpoint.update(every=f'{max(steps // 4, 1)} steps', keep=1)
  return c.lock()
