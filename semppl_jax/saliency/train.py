"""Teaches a mask network by detectors, without a mask or a label.

Nguyen et al., "DeepUSPS", NeurIPS 2019: a head learns from each detector's
noisy maps, in which what the network cannot predict is mostly noise; then from
moving averages of its own predictions; and last, one map from all heads.
"""

from collections.abc import Iterator, Sequence
import hashlib
import json
import logging
import math
import time
from typing import NamedTuple

import jax
import numpy as np
import optax

from semppl_jax.optim import schedules
from semppl_jax.runtime.errors import NonFiniteError
from semppl_jax.saliency import network, progress as progress_lib, pupil
from semppl_jax.saliency.progress import Progress
from semppl_jax.saliency.training_data import Lessons, levels

_log = logging.getLogger(__name__)
BATCH = 16
# Of Adam, by stage; it rises to it over half an epoch. The later stages only
# mend, and lose at a high rate what is known.
RATES = {'noisy': 2e-3, 'refined': 5e-4, 'fused': 5e-4}
# The share of what was predicted before in a moving average: the paper's.
KEEP = 0.7
# Raised when the same lessons make another network.
VERSION = 1
_FUSED = ('fused',)


class Course(NamedTuple):
  """How long to learn.

  Attributes:
    noisy: epochs on the detectors' maps.
    refined: epochs on the heads' own averages.
    fused: epochs of the one map from all.
  """

  noisy: int = 8
  refined: int = 4
  fused: int = 4


def course(epochs: Sequence[str]) -> Course:
  """Reads the three numbers of `--epochs`.

  Raises:
    ValueError: they are not three whole numbers from 0 on, one of them above.
  """
  try:
    noisy, refined, fused = map(int, epochs)
    found = Course(noisy, refined, fused)
  except ValueError:
    found = Course(0, 0, 0)
  if min(found) < 0 or not sum(found):
    raise ValueError(
      f'--epochs={",".join(epochs)} must be three whole numbers of at least 0,'
      ' not all 0, as in --epochs=8,4,4.'
    )
  return found


def about(lessons: str, course: Course, seed: int = 0) -> str:
  """Returns what tells a network from others: the same makes the same one.

  Args:
    lessons: what tells the lessons from others.
    course: as `learn`.
    seed: as `learn`.
  """
  content = json.dumps([VERSION, lessons, course, seed])
  return hashlib.sha256(content.encode()).hexdigest()[:16]


def learn(
  lessons: Lessons,
  settings: network.Settings,
  course: Course,
  seed: int = 0,
  keep: tuple[str, str] | None = None,
) -> tuple[network.Settings, network.Params]:
  """Returns the network of one head that was fused from all.

  Args:
    lessons: the images and the detectors' maps, of `settings.heads`.
    settings: of the network that learns from the detectors.
    course: how long.
    seed: of its first weights, and of the order and flips of the images.
    keep: a file to go on from and to keep each epoch in, and what tells this
      learning from others.

  Raises:
    ValueError: there are fewer images than in a batch.
    NonFiniteError: the loss is no number any more.
  """
  if len(lessons.images) < BATCH:
    raise ValueError(
      f'A mask network learns from at least {BATCH} images, and'
      f' {len(lessons.images)} can be read.'
    )
  if keep:
    # An image that could not be read may be readable now.
    keep = keep[0], f'{keep[1]} {len(lessons.images)}'
  plan = [
    (stage, epoch)
    for stage, epochs in course._asdict().items()
    for epoch in range(epochs)
  ]
  now = _resumed(_begun(lessons, settings, seed), settings, plan, keep)
  for stage, epoch in plan[now.epochs :]:
    if not epoch:
      now = _entered(now, stage, settings)
    now = _epoch(now, lessons.images, settings, course, (stage, epoch), seed)
    if keep:
      progress_lib.write(*keep, now)
  if not course.fused:
    now = _entered(now, 'fused', settings)
  return _taught('fused', settings), now.state.params


def _taught(stage: str, settings: network.Settings) -> network.Settings:
  """The network that learns in a stage."""
  return settings._replace(heads=_FUSED) if stage == 'fused' else settings


def _begun(lessons: Lessons, settings: network.Settings, seed: int) -> Progress:
  image = np.zeros((1, settings.side, settings.side, 3), np.uint8)
  params = network.make(settings).init(jax.random.key(seed), image)
  averages = lessons.maps.astype(np.float32) / 255
  state = pupil.make(settings).start(params)
  return Progress(0, state, lessons.maps, averages)


def _resumed(
  begun: Progress,
  settings: network.Settings,
  plan: Sequence[tuple[str, int]],
  keep: tuple[str, str] | None,
) -> Progress:
  found = progress_lib.read(*keep) if keep else None
  if found is None:
    return begun
  _log.info('%d of %d epochs were learned before.', found.epochs, len(plan))
  stage, _ = plan[found.epochs - 1]
  like = _entered(begun, stage, settings).state
  state = jax.tree.unflatten(jax.tree.structure(like), found.state)
  return found._replace(state=state)


def _entered(now: Progress, stage: str, settings: network.Settings) -> Progress:
  """What a stage begins with; the moments are new."""
  params, targets = now.state.params, now.averages
  if stage == 'fused':
    params = with_one_head(params)
    targets = targets.mean(-1, keepdims=True)
  state = pupil.make(settings).start(params)
  return now._replace(state=state, targets=levels(targets))


def with_one_head(params: network.Params) -> network.Params:
  """Returns the same network with the mean of its heads as its only one."""
  heads = {
    name: value.mean(-1, keepdims=True)
    for name, value in params['heads'].items()
  }
  return {**params, 'heads': heads}


def _epoch(
  now: Progress,
  images: np.ndarray,
  settings: network.Settings,
  course: Course,
  place: tuple[str, int],
  seed: int,
) -> Progress:
  """An epoch of a stage, and the line that tells of it."""
  stage, epoch = place
  began = time.monotonic()
  batches, epochs = len(images) // BATCH, getattr(course, stage)
  rate = schedules.warmup_cosine(RATES[stage], batches // 2, epochs * batches)
  now, loss = _pass(
    now, images, _taught(stage, settings), rate, epoch * batches, seed
  )
  if not math.isfinite(loss):
    raise NonFiniteError(
      f'The loss of the mask network is {loss} in epoch {epoch + 1} ({stage}).'
    )
  speed = batches * BATCH / (time.monotonic() - began)
  _log.info(
    '%s: epoch %d/%d  loss %.4f  %.0f images/s',
    stage, epoch + 1, epochs, loss, speed,
  )  # fmt: skip
  return now


def _pass(
  now: Progress,
  images: np.ndarray,
  settings: network.Settings,
  rate: optax.Schedule,
  first: int,
  seed: int,
) -> tuple[Progress, float]:
  """Learns all images once; adds predictions of all heads to the averages.

  Returns:
    What is known then, and the mean of the losses.
  """
  losses, state, averages = [], now.state, now.averages.copy()
  train = pupil.make(settings).train
  batches = _batches(len(images), seed, now.epochs)
  for step, (rows, flip) in enumerate(batches, first):
    state, loss, predicted = train(
      state, images[rows], now.targets[rows], flip, rate(step)
    )
    losses.append(loss)
    if settings.heads != _FUSED:
      averages[rows] *= KEEP
      averages[rows] += (1 - KEEP) * np.asarray(predicted)
  after = Progress(now.epochs + 1, state, now.targets, averages)
  return after, float(np.mean(losses))


def _batches(
  count: int, seed: int, epoch: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Rows [B] and whether each is flipped [B], of one epoch of all stages'."""
  rng = np.random.default_rng((seed, epoch))
  order = rng.permutation(count)
  for first in range(0, count - BATCH + 1, BATCH):
    yield order[first : first + BATCH], rng.random(BATCH) < 0.5
