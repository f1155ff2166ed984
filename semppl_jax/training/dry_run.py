"""`--check`: the data, the cost and every problem of a run, without a step."""

import math
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree
import ml_collections
import numpy as np

from semppl_jax.config import durations
from semppl_jax.data import inspection, labels, masks
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.tables import fixed_width
from semppl_jax.training import aot, experiment as experiment_lib
from semppl_jax.training.experiment import Experiment
from semppl_jax.training.train_step import TrainState

# An image is decoded only if these fields have no problem.
_NEEDED_TO_DECODE = ('config.views.', 'config.eval.', 'config.data.')
# Share of a matrix product's rate that a step of convolutions reaches.
_EFFICIENCY = 0.3


def describe(config: ml_collections.ConfigDict) -> tuple[str, bool]:
  """Describes what would run; returns True too if it could.

  Args:
    config: config of the run. Every image is decoded once to find unreadable
      ones, unless a field of its views, evaluation or data is wrong.
  """
  mesh = mesh_lib.make_mesh()
  parts, problems = [], experiment_lib.check(config, mesh)
  splits = subset = None
  decode = not any(text.startswith(_NEEDED_TO_DECODE) for text in problems)
  try:
    splits = masks.load(config)
    try:
      subset = labels.select(config.data, splits.train)
    except ValueError as error:
      problems.append(str(error))
    data = inspection.report(config, splits, subset or labels.NONE, decode)
    parts.append(str(data._replace(problems=[])))
    problems += data.problems
  except ValueError as error:
    problems.append(str(error))
  problems += experiment_lib.check(config, mesh, splits, subset)
  if not problems:
    parts.append(str(estimate(experiment_lib.build(config))))
  found = sorted(set(problems), key=problems.index)
  if jax.process_index() == 0 and found:
    parts.append('\n'.join(f'problem: {text}' for text in found))
  return '\n'.join(parts), not found


class CostEstimate(NamedTuple):
  """Cost of a run; `str` gives aligned lines.

  Attributes:
    steps: steps of the run.
    epochs: passes over the train set.
    parameters: of the online network.
    devices: number and kind.
    state_gib: train state on each device.
    batch_gib: batches on each device, prefetched ones included.
    residual_gib: activations kept for the backward pass on each device, before
      the compiler shares or recomputes any of them: an upper bound.
    tflop: TFLOP of one step on each device.
    hours: time of the run at 30 % of this device's matrix-product rate.
  """

  steps: int
  epochs: float
  parameters: int
  devices: str
  state_gib: float
  batch_gib: float
  residual_gib: float
  tflop: float
  hours: float

  def __str__(self) -> str:
    memory = self.state_gib + self.batch_gib + self.residual_gib
    rows = (
      ('steps', f'{self.steps:,} ({self.epochs:.1f} epochs)'),
      ('parameters', f'{self.parameters:,}'),
      ('devices', self.devices),
      (
        'memory per device',
        f'about {memory:.2f} GiB (state {self.state_gib:.2f}, batches'
        f' {self.batch_gib:.2f}, activations {self.residual_gib:.2f})',
      ),
      (
        'time',
        f'about {durations.in_words(3600 * self.hours)} ({self.tflop:.3g} TFLOP'
        f' a step and device, at {_EFFICIENCY:.0%} of its matrix-product rate)',
      ),
    )
    return fixed_width(rows, ('<22', ''))


def estimate(experiment: Experiment) -> CostEstimate:
  """Estimates the cost of a run from its traced step, without compiling."""
  shapes = jax.eval_shape(experiment.step.init)
  state = aot.abstract_state(experiment.step)
  batch = aot.abstract_batch(
    experiment.config, experiment.mesh, experiment.method.support
  )
  flops = _flops(experiment.config) / experiment.mesh.size
  devices = experiment.mesh.size
  examples = experiment.splits.train.size
  fetched = 1 + experiment.config.data.prefetch
  seconds = flops / (_EFFICIENCY * _matmul_rate(experiment))
  return CostEstimate(
    steps=experiment.total_steps,
    epochs=experiment.total_steps * experiment.config.batch_size / examples,
    parameters=sum(x.size for x in jax.tree.leaves(shapes.params)),
    devices=mesh_lib.describe(experiment.mesh),
    state_gib=_gib(state, per_device=True),
    batch_gib=_gib(batch) * fetched / devices,
    residual_gib=_residual_gib(experiment, shapes) / devices,
    tflop=flops / 1e12,
    hours=seconds * experiment.total_steps / 3600,
  )


def _flops(config: ml_collections.ConfigDict) -> float:
  """FLOP of a step over all devices; a third more if accumulated."""
  flops = aot.model_flops(config) or 0.0
  return flops * 4 / 3 if config.accumulate > 1 else flops


def _residual_gib(experiment: Experiment, shapes: TrainState) -> float:
  """Size of the activations of one microbatch, kept for its backward pass."""
  views, parts = experiment.config.views, experiment.config.accumulate

  def images(rows: int, count: int, size: int) -> jax.ShapeDtypeStruct:
    shape = (rows // parts, count, size, size, 3)
    return jax.ShapeDtypeStruct(shape, jnp.float32)

  inputs = tuple(
    images(experiment.config.batch_size, v.count, v.size)
    for v in (views.large, views.small)
  )
  support = None
  if experiment.method.support:
    s = experiment.config.support
    rows = s.classes_per_batch * s.images_per_class
    support = images(rows, s.views, views.large.size)

  def backward(params, net_state, inputs, support):
    def forward(params):
      apply = experiment.step.network.apply
      return apply(params, net_state, inputs, True, support)[0]

    return jax.vjp(forward, params)[1]

  return _gib(
    jax.eval_shape(backward, shapes.params, shapes.net_state, inputs, support)
  )


def _gib(tree: PyTree, per_device: bool = False) -> float:
  """Returns GiB of arrays, whole or `per_device`."""

  def count(x) -> int:
    shape = x.sharding.shard_shape(x.shape) if per_device else x.shape
    return math.prod(shape) * x.dtype.itemsize

  return sum(count(x) for x in jax.tree.leaves(tree)) / 2**30


def _matmul_rate(experiment: Experiment) -> float:
  """Measures FLOP/s of a matrix product on one device, in the precision."""
  size = 1024
  x = jnp.ones((size, size), experiment.config.network.precision)
  product = jax.jit(jnp.matmul)
  product(x, x).block_until_ready()
  times = []
  for _ in range(3):
    start = time.perf_counter()
    product(x, x).block_until_ready()
    times.append(time.perf_counter() - start)
  return 2 * size**3 / float(np.min(times))
