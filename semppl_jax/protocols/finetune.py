"""Networks trained on the labelled images, by the loop that pre-trains.

Each candidate of a sweep learns from a part of the labelled images and is
judged by the rest; the best learns again from all of them. The test set takes
no part. As every candidate is a run of its own, one that was stopped goes on,
and one that is done is not done again.
"""

import itertools
import logging
import pathlib
from typing import Any, NamedTuple

import ml_collections
import numpy as np

from semppl_jax.config import durations, loading
from semppl_jax.evaluators import sweep as sweep_lib
from semppl_jax.exchange import run_checkpoint as run_checkpoint_lib
from semppl_jax.models.weights import Weights
from semppl_jax.protocols import objectives
from semppl_jax.protocols.evaluated_model import Subject
from semppl_jax.protocols.objectives import Task
from semppl_jax.protocols.setup import Context
from semppl_jax.runtime.errors import StoppedError
from semppl_jax.runtime.files import write_text
from semppl_jax.training import loop

_log = logging.getLogger(__name__)


class Candidate(NamedTuple):
  """One entry of a sweep.

  Attributes:
    learning_rate: highest rate.
    weight_decay: decay of the weights.
  """

  learning_rate: float
  weight_decay: float


def run(
  context: Context,
  recipe: ml_collections.ConfigDict,
  name: str,
  *,
  init_from: str,
  frozen: bool = False,
  rows: np.ndarray | None = None,
  title: str = '',
  task: Task = objectives.CLASSIFY,
) -> Weights:
  """Sweeps a recipe on a held-out part of the labels, then trains on all.

  Args:
    context: the evaluation.
    recipe: as `configs/evaluate/base.py` has it.
    name: folder of its runs in the working directory.
    init_from: weights to start from, or '' for none.
    frozen: train the classifier alone.
    rows: labelled images, positions in the train set (default: the subset).
    title: what its sweep is called (default: `name`).
    task: what to learn.

  Returns:
    The network; `context.sweeps` has what was tried.

  Raises:
    StoppedError: somebody asked to stop.
  """
  rows = context.subset.index if rows is None else rows
  folder = context.workdir / name
  candidates = [
    Candidate(*pair)
    for pair in itertools.product(recipe.learning_rates, recipe.weight_decays)
  ]

  def learn(place: str, some: np.ndarray, candidate: Candidate) -> Weights:
    config = training_config(
      context, recipe, len(some), candidate, init_from, frozen, task
    )
    _log.info('%s: %s.', place, candidate)
    return _learn(context, config, folder / place, some)

  sweep = []
  chosen = candidates[0]
  if len(candidates) > 1:
    label = context.splits.train.labels[rows]
    fit, held = sweep_lib.split(
      label, context.config.held_out, context.config.seed
    )
    if len(held):
      for number, candidate in enumerate(candidates):
        weights = learn(f'sweep-{number}', rows[fit], candidate)
        subject = Subject(context, weights, f'{name}, sweep {number}')
        top1 = task.judge(context, subject, rows[fit], rows[held])
        sweep.append(candidate._asdict() | {'held_out_top1': top1})
      best = max(range(len(sweep)), key=lambda n: sweep[n]['held_out_top1'])
      chosen = candidates[best]
    else:
      _log.info('%s: one label per class leaves none to sweep on.', name)
  weights = learn('final', rows, chosen)
  context.sweeps[title or name] = {'tried': sweep, 'chosen': chosen._asdict()}
  return weights


def _learn(
  context: Context,
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  rows: np.ndarray,
) -> Weights:
  """One run of the training loop on some labels, and what it ends with."""
  ids = workdir.parent / f'{workdir.name}-labels.txt'
  ids.parent.mkdir(parents=True, exist_ok=True)
  # Every process writes the same, so that none reads what is not there yet.
  names = context.splits.train.ids[rows]
  write_text(ids, ''.join(f'{name}\n' for name in names))
  with config.unlocked():
    config.data.labels = f'ids:{ids}'
  if loop.run(config, workdir, context.devices) is None:
    raise StoppedError
  return run_checkpoint_lib.read(workdir)


def training_config(
  context: Context,
  recipe: ml_collections.ConfigDict,
  labelled: int,
  candidate: Candidate,
  init_from: str,
  frozen: bool,
  task: Task,
) -> ml_collections.ConfigDict:
  """The config of one run.

  Args:
    context: the evaluation.
    recipe: how to train.
    labelled: images to learn from.
    candidate: rate and decay.
    init_from: weights to start from, or ''.
    frozen: train the classifier alone.
    task: what to learn.
  """
  c = loading.copy(context.run)
  whole = context.mesh.size
  # No more rows than images, and whole rows on every device.
  batch = max(min(recipe.batch_size, labelled) // whole, 1) * whole
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
  if not recipe.colours:
    c.augment.update(no_colours())
  c.optimizer.update(
    name=recipe.optimizer,
    learning_rate=candidate.learning_rate,
    start_learning_rate=0.0,
    reference_batch=recipe.reference_batch,
    momentum=recipe.momentum,
    weight_decay=candidate.weight_decay,
    warmup=f'{warmup} steps',
  )
  task.change(c, recipe)
  c.probe.enabled = False
  c.eval.update(every='0 steps', baselines=False)
  c.checkpoint.update(every=f'{max(steps // 4, 1)} steps', keep=1)
  return c.lock()


def no_colours() -> dict[str, Any]:
  """Probabilities that leave every view as it was cropped."""
  return {
    'jitter': 0.0,
    'grayscale': 0.0,
    'blur': (0.0, 0.0),
    'solarize': (0.0, 0.0),
    'equalize': 0.0,
  }
