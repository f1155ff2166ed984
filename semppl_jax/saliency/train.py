"""Trains a mask network on the maps of detectors, without a mask or a label.

Nguyen et al., "DeepUSPS", NeurIPS 2019: a head learns each detector's noisy
maps, in which noise is what the network cannot predict; then moving averages
of its own predictions; and last, one map fused from all heads. H is the number
of heads.
"""

from collections.abc import Callable, Iterator, Sequence
import functools
import hashlib
import json
import logging
import math
import time
from typing import Any, NamedTuple
import zipfile

import jax
import jax.numpy as jnp
from jaxtyping import PyTree
import numpy as np
import optax

from semppl_jax.optim import optimizers, schedules
from semppl_jax.runtime.errors import NonFiniteError
from semppl_jax.runtime.files import atomic_write
from semppl_jax.saliency import network
from semppl_jax.saliency.training_data import to_bytes, TrainingSet

_log = logging.getLogger(__name__)
BATCH = 16
# Of Adam, by stage, after a warm-up of half an epoch. The later stages refine,
# and forget at a high rate.
LEARNING_RATES = {'noisy': 2e-3, 'refined': 5e-4, 'fused': 5e-4}
WEIGHT_DECAY = 1e-4
# Decay of the moving average of predictions: the paper's.
AVERAGE_DECAY = 0.7
# Raised when the same training set makes another network.
VERSION = 1
_FUSED = ('fused',)
_OPTIMIZER = optimizers.adam(weight_decay=WEIGHT_DECAY)


class Epochs(NamedTuple):
  """Epochs of each stage.

  Attributes:
    noisy: on the detectors' maps.
    refined: on the heads' own averages.
    fused: of the one map from all heads.
  """

  noisy: int = 8
  refined: int = 4
  fused: int = 4


class State(NamedTuple):
  """Weights, and the moments of Adam."""

  params: network.Params
  moments: optax.OptState


class Progress(NamedTuple):
  """State between two epochs.

  Attributes:
    epochs: finished epochs of all stages.
    state: `State`, or the list of its leaves.
    targets: targets of the stage, uint8 [n, h, w, H].
    averages: of predictions, float32 [n, h, w, H] of the first stage's heads.
  """

  epochs: int
  state: PyTree
  targets: np.ndarray
  averages: np.ndarray


# `(state, images, targets, flip, learning_rate)` to a state, the loss and the
# predictions of the unflipped images. Images are uint8 [B, S, S, 3], targets
# uint8 [B, S / 2, S / 2, H] and flip bool [B].
Step = Callable[..., tuple[State, jax.Array, jax.Array]]


def parse_epochs(epochs: Sequence[str]) -> Epochs:
  """Parses the three numbers of `--epochs`.

  Raises:
    ValueError: they are not three integers of at least 0, one of them above.
  """
  try:
    noisy, refined, fused = map(int, epochs)
    parsed = Epochs(noisy, refined, fused)
  except ValueError:
    parsed = Epochs(0, 0, 0)
  if min(parsed) < 0 or not sum(parsed):
    raise ValueError(
      f'--epochs={",".join(epochs)} must be three whole numbers of at least 0,'
      ' not all 0, as in --epochs=8,4,4.'
    )
  return parsed


def fingerprint(training_set: str, epochs: Epochs, seed: int = 0) -> str:
  """Returns an id of a network, of the fingerprint of its training set."""
  content = json.dumps([VERSION, training_set, epochs, seed])
  return hashlib.sha256(content.encode()).hexdigest()[:16]


def train(
  data: TrainingSet,
  settings: network.Settings,
  epochs: Epochs,
  seed: int = 0,
  checkpoint: tuple[str, str] | None = None,
) -> tuple[network.Settings, network.Params]:
  """Returns the network of one head that was fused from all.

  Args:
    data: the images and the detectors' maps, of `settings.heads`.
    settings: of the network that learns from the detectors.
    epochs: epochs of each stage.
    seed: of the initial weights, and of the order and flips of the images.
    checkpoint: file that is written after each epoch and resumed from, and the
      fingerprint of this network.

  Raises:
    ValueError: there are fewer images than in a batch.
    NonFiniteError: the loss is not finite.
  """
  if len(data.images) < BATCH:
    raise ValueError(
      f'A mask network is trained on at least {BATCH} images, and'
      f' {len(data.images)} can be read.'
    )
  if checkpoint:
    # A formerly unreadable image may be readable now.
    checkpoint = checkpoint[0], f'{checkpoint[1]} {len(data.images)}'
  plan = [
    (stage, epoch)
    for stage, count in epochs._asdict().items()
    for epoch in range(count)
  ]
  progress = _resume(_init(data, settings, seed), plan, checkpoint)
  for stage, epoch in plan[progress.epochs :]:
    if not epoch:
      progress = _begin_stage(progress, stage)
    began, batches = time.monotonic(), len(data.images) // BATCH
    count = getattr(epochs, stage)
    schedule = schedules.warmup_cosine(
      LEARNING_RATES[stage], batches // 2, count * batches
    )
    own, step = _stage_settings(stage, settings), epoch * batches
    progress, loss = _train_epoch(
      progress, data.images, own, schedule, step, seed
    )
    if not math.isfinite(loss):
      raise NonFiniteError(
        f'The loss of the mask network is {loss} in epoch {epoch + 1}'
        f' ({stage}).'
      )
    speed = batches * BATCH / (time.monotonic() - began)
    _log.info(
      '%s: epoch %d/%d  loss %.4f  %.0f images/s',
      stage, epoch + 1, count, loss, speed,
    )  # fmt: skip
    if checkpoint:
      write_progress(*checkpoint, progress)
  if not epochs.fused:
    progress = _begin_stage(progress, 'fused')
  return _stage_settings('fused', settings), progress.state.params


@functools.lru_cache(2)  # One compilation for all stages of the same heads.
def make_step(settings: network.Settings) -> Step:
  """Returns the training step, compiled once for all learning rates."""
  apply = network.make_network(settings).apply

  def loss_fn(params, images, targets):
    logits = apply(params, images)
    losses = optax.sigmoid_binary_cross_entropy(logits, targets)
    return losses.mean(), jax.nn.sigmoid(logits)

  @jax.jit
  def step(state, images, targets, flip, learning_rate):
    images, targets = flip_columns(images, flip), flip_columns(targets, flip)
    targets = targets.astype(jnp.float32) / 255
    (loss, predicted), gradient = jax.value_and_grad(loss_fn, has_aux=True)(
      state.params, images, targets
    )
    updates, moments = _OPTIMIZER.update(
      gradient, state.moments, state.params, learning_rate=learning_rate
    )
    state = State(optax.apply_updates(state.params, updates), moments)
    return state, loss, flip_columns(predicted, flip)

  return step


def flip_columns(x: jax.Array, flip: jax.Array) -> jax.Array:
  """Mirrors the columns of the images [B, h, w, C] that `flip` [B] selects."""
  return jnp.where(flip[:, None, None, None], x[:, :, ::-1], x)


def write_progress(file: str, fingerprint: str, progress: Progress) -> None:
  """Writes the state between two epochs atomically."""
  leaves = jax.tree.leaves(progress.state)
  arrays: dict[str, Any] = {f'leaf{n}': x for n, x in enumerate(leaves)}
  with atomic_write(file) as temporary, temporary.open('wb') as stream:
    np.savez(
      stream,
      about=np.array(fingerprint),
      epochs=np.array(progress.epochs),
      targets=progress.targets,
      averages=progress.averages,
      **arrays,
    )


def read_progress(file: str, fingerprint: str) -> Progress | None:
  """Reads a progress with leaves as its state; None if it is not there."""
  try:
    with np.load(file) as content:
      if str(content['about']) != fingerprint:
        return None
      count = sum(name.startswith('leaf') for name in content.files)
      return Progress(
        int(content['epochs']),
        [content[f'leaf{place}'] for place in range(count)],
        content['targets'],
        content['averages'],
      )
  except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile):
    return None


def fuse_heads(params: network.Params) -> network.Params:
  """Returns the same network with the mean of its heads as its only one."""
  heads = {
    name: value.mean(-1, keepdims=True)
    for name, value in params['heads'].items()
  }
  return {**params, 'heads': heads}


def _stage_settings(stage: str, settings: network.Settings) -> network.Settings:
  return settings._replace(heads=_FUSED) if stage == 'fused' else settings


def _init(data: TrainingSet, settings: network.Settings, seed: int) -> Progress:
  key = jax.random.key(seed)
  params = network.make_network(settings).init(key, data.images[:1])
  averages = data.maps.astype(np.float32) / 255
  return Progress(0, _init_state(params), data.maps, averages)


def _resume(
  initial: Progress,
  plan: Sequence[tuple[str, int]],
  checkpoint: tuple[str, str] | None,
) -> Progress:
  saved = read_progress(*checkpoint) if checkpoint else None
  if saved is None:
    return initial
  _log.info('Resuming after epoch %d of %d.', saved.epochs, len(plan))
  stage, _ = plan[saved.epochs - 1]
  like = _begin_stage(initial, stage).state
  state = jax.tree.unflatten(jax.tree.structure(like), saved.state)
  return saved._replace(state=state)


def _init_state(params: network.Params) -> State:
  return State(params, _OPTIMIZER.init(params))


def _begin_stage(progress: Progress, stage: str) -> Progress:
  """Returns the progress with the targets of a stage and new moments."""
  params, targets = progress.state.params, progress.averages
  if stage == 'fused':
    params = fuse_heads(params)
    targets = targets.mean(-1, keepdims=True)
  return progress._replace(state=_init_state(params), targets=to_bytes(targets))


def _train_epoch(
  progress: Progress,
  images: np.ndarray,
  settings: network.Settings,
  schedule: optax.Schedule,
  first_step: int,
  seed: int,
) -> tuple[Progress, float]:
  """Takes a step per batch; returns the new progress and the mean loss."""
  losses, state, averages = [], progress.state, progress.averages.copy()
  train_step = make_step(settings)
  batches = _batches(len(images), seed, progress.epochs)
  for step, (rows, flip) in enumerate(batches, first_step):
    state, loss, predicted = train_step(
      state, images[rows], progress.targets[rows], flip, schedule(step)
    )
    losses.append(loss)
    if settings.heads != _FUSED:
      averages[rows] *= AVERAGE_DECAY
      averages[rows] += (1 - AVERAGE_DECAY) * np.asarray(predicted)
  after = Progress(progress.epochs + 1, state, progress.targets, averages)
  return after, float(np.mean(losses))


def _batches(
  count: int, seed: int, epoch: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yields rows [B] and their flips [B], of one epoch counted over stages."""
  rng = np.random.default_rng((seed, epoch))
  order = rng.permutation(count)
  for first in range(0, count - BATCH + 1, BATCH):
    yield order[first : first + BATCH], rng.random(BATCH) < 0.5
