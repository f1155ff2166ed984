"""Teaches a mask network by detectors, without a mask or a label.

Nguyen et al., "DeepUSPS", NeurIPS 2019: a head learns from each detector's
noisy maps, in which what the network cannot predict is mostly noise; then from
moving averages of its own predictions; and last, one map from all heads.
"""

from collections.abc import Callable, Iterator, Sequence
import logging
import math
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from semppl_jax import optim, schedules
from semppl_jax.nonfinite import NonFiniteError
from semppl_jax.saliency import network
from semppl_jax.saliency.lessons import Lessons

_log = logging.getLogger(__name__)
BATCH = 16
# Of Adam, by stage. The later ones only mend, and lose at a high rate what is
# known.
RATES = {'noisy': 2e-3, 'refined': 5e-4, 'fused': 5e-4}
DECAY = 1e-4  # Weight decay.
# The share of what was predicted before in a moving average: the paper's.
KEEP = 0.7


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


class _State(NamedTuple):
  params: network.Params
  moments: optax.OptState


class _Pupil(NamedTuple):
  """What takes steps of learning.

  Attributes:
    start: from parameters to a state.
    train: `(state, images, targets, flip, rate)` to a state, the loss and the
      predictions.
  """

  start: Callable[[network.Params], _State]
  train: Callable[..., tuple[_State, jax.Array, jax.Array]]


def learn(
  lessons: Lessons,
  settings: network.Settings,
  course: Course,
  seed: int = 0,
) -> tuple[network.Settings, network.Params]:
  """Returns the network of one head that was fused from all.

  Args:
    lessons: the images and the detectors' maps, of `settings.heads`.
    settings: of the network that learns from the detectors.
    course: how long.
    seed: of its first weights, and of the order and flips of the images.

  Raises:
    ValueError: there are fewer images than in a batch.
    NonFiniteError: the loss is no number any more.
  """
  if len(lessons.images) < BATCH:
    raise ValueError(
      f'A mask network learns from at least {BATCH} images, and'
      f' {len(lessons.images)} can be read.'
    )
  rng = np.random.default_rng(seed)
  targets = lessons.maps.astype(np.float32) / 255
  averages = targets.copy()
  params = _initial(settings, seed)
  pupil = _make_pupil(settings)
  for title, epochs in {
    'noisy': course.noisy,
    'refined': course.refined,
  }.items():
    if title == 'refined':
      targets = averages.copy()
    params = _epochs(
      title, pupil, params, lessons.images, targets, averages, epochs, rng
    )
  fused = settings._replace(heads=('fused',))
  targets = averages.mean(-1, keepdims=True)
  params, pupil = _with_one_head(params), _make_pupil(fused)
  params = _epochs(
    'fused', pupil, params, lessons.images, targets, None, course.fused, rng
  )
  return fused, params


def _initial(settings: network.Settings, seed: int) -> network.Params:
  image = np.zeros((1, settings.side, settings.side, 3), np.uint8)
  return network.make(settings).init(jax.random.key(seed), image)


def _with_one_head(params: network.Params) -> network.Params:
  """The same network with the mean of its heads as its only one."""
  heads = {
    name: value.mean(-1, keepdims=True)
    for name, value in params['heads'].items()
  }
  return {**params, 'heads': heads}


def _epochs(
  title: str,
  pupil: _Pupil,
  params: network.Params,
  images: np.ndarray,
  targets: np.ndarray,
  averages: np.ndarray | None,
  epochs: int,
  rng: np.random.Generator,
) -> network.Params:
  """Learns targets [n, S / 2, S / 2, H]; adds predictions to the averages."""
  batches = len(images) // BATCH
  rate = schedules.warmup_cosine(RATES[title], batches // 2, epochs * batches)
  state, step = pupil.start(params), 0
  for epoch in range(epochs):
    began, losses = time.monotonic(), []
    for rows, flip in _batches(len(images), rng):
      state, loss, predicted = pupil.train(
        state, images[rows], targets[rows], flip, rate(step)
      )
      step += 1
      losses.append(loss)
      if averages is not None:
        averages[rows] *= KEEP
        averages[rows] += (1 - KEEP) * np.asarray(predicted)
    loss = float(np.mean(losses))
    if not math.isfinite(loss):
      raise NonFiniteError(
        f'The loss of the mask network is {loss} in epoch {epoch + 1}'
        f' ({title}).'
      )
    _log.info(
      '%s: epoch %d/%d  loss %.4f  %.0f images/s',
      title, epoch + 1, epochs, loss,
      batches * BATCH / (time.monotonic() - began),
    )  # fmt: skip
  return state.params


def _batches(
  count: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Rows [B] and whether each is flipped [B], of one epoch."""
  order = rng.permutation(count)
  for first in range(0, count - BATCH + 1, BATCH):
    yield order[first : first + BATCH], rng.random(BATCH) < 0.5


def _make_pupil(settings: network.Settings) -> _Pupil:
  """Its step is compiled once, whatever the rate."""
  apply = network.make(settings).apply
  optimizer = optim.adam(weight_decay=DECAY)

  def loss_of(params, images, targets):
    logits = apply(params, images)
    losses = optax.sigmoid_binary_cross_entropy(logits, targets)
    return losses.mean(), jax.nn.sigmoid(logits)

  @jax.jit
  def train(state, images, targets, flip, rate):
    images, targets = _flipped(images, flip), _flipped(targets, flip)
    (loss, predicted), gradient = jax.value_and_grad(loss_of, has_aux=True)(
      state.params, images, targets
    )
    updates, moments = optimizer.update(
      gradient, state.moments, state.params, rate=rate
    )
    state = _State(optax.apply_updates(state.params, updates), moments)
    return state, loss, _flipped(predicted, flip)

  return _Pupil(lambda params: _State(params, optimizer.init(params)), train)


def _flipped(x: jax.Array, flip: jax.Array) -> jax.Array:
  return jnp.where(flip[:, None, None, None], x[:, :, ::-1], x)
