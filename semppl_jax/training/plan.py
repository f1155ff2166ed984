"""What a run would cost, without taking a step (`--check`)."""

import math
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.tables import fixed_width
from semppl_jax.training import aot, flops as flops_lib
from semppl_jax.training.experiment import Experiment

# Share of a matrix product's rate that a step of convolutions reaches.
_EFFICIENCY = 0.3


class Plan(NamedTuple):
  """A run in figures; `str` gives aligned lines.

  Attributes:
    steps: steps of the run.
    epochs: passes over the train set.
    parameters: of the online network.
    devices: number and kind.
    state_gib: train state on each device.
    batch_gib: batches on each device, those fetched ahead included.
    residual_gib: what the backward pass keeps on each device, before the
      compiler shares or recomputes any of it: an upper bound.
    tflop: arithmetic of one step on each device.
    hours: whole run at 30 % of this device's rate for matrix products.
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
        f'about {_duration(self.hours)} ({self.tflop:.3g} TFLOP a step and'
        f' device, at {_EFFICIENCY:.0%} of its matrix-product rate)',
      ),
    )
    return fixed_width(rows, ('<22', ''))


def make(experiment: Experiment) -> Plan:
  """Traces the step of a experiment, without compiling it, and counts."""
  shapes = jax.eval_shape(experiment.step.init)
  like = aot.abstract_state(experiment.step)
  batch = aot.abstract_batch(
    experiment.config, experiment.mesh, experiment.method.support
  )
  flops = _flops(experiment.config) / experiment.mesh.size
  devices = experiment.mesh.size
  examples = experiment.splits.train.size
  fetched = 1 + experiment.config.data.prefetch
  seconds = flops / (_EFFICIENCY * _matmul_rate(experiment))
  return Plan(
    steps=experiment.total_steps,
    epochs=experiment.total_steps * experiment.config.batch_size / examples,
    parameters=sum(x.size for x in jax.tree.leaves(shapes.params)),
    devices=mesh_lib.describe(experiment.mesh),
    state_gib=_gib(like, per_device=True),
    batch_gib=_gib(batch) * fetched / devices,
    residual_gib=_residual_gib(experiment, shapes) / devices,
    tflop=flops / 1e12,
    hours=seconds * experiment.total_steps / 3600,
  )


def _flops(config: ml_collections.ConfigDict) -> float:
  """Arithmetic of a step over all devices; in parts a third more."""
  flops = flops_lib.model_flops(config) or 0.0
  return flops * 4 / 3 if config.accumulate > 1 else flops


def _residual_gib(experiment: Experiment, shapes: Any) -> float:
  """Size of what the forward pass of one part leaves for the backward."""
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


def _gib(tree: Any, per_device: bool = False) -> float:
  """GiB of arrays, whole or `per_device`."""

  def count(x) -> int:
    shape = x.sharding.shard_shape(x.shape) if per_device else x.shape
    return math.prod(shape) * x.dtype.itemsize

  return sum(count(x) for x in jax.tree.leaves(tree)) / 2**30


def _matmul_rate(experiment: Experiment) -> float:
  """FLOP/s of a matrix product on one device in the run's precision."""
  size = 1024
  x = jnp.ones((size, size), experiment.config.network.precision)
  product = jax.jit(jnp.matmul)
  product(x, x).block_until_ready()
  times = []
  for _ in range(3):
    began = time.perf_counter()
    product(x, x).block_until_ready()
    times.append(time.perf_counter() - began)
  return 2 * size**3 / float(np.min(times))


def _duration(hours: float) -> str:
  if hours < 1:
    return f'{max(60 * hours, 1):.0f} minutes'
  return f'{hours:.1f} hours' if hours < 48 else f'{hours / 24:.0f} days'
