"""Times a config's train step on the devices that are there."""

from collections.abc import Callable, Sequence
import functools
from typing import Any

import jax
import ml_collections

from semppl_jax.data.batch import Batch
from semppl_jax.runtime import device_memory, mesh as mesh_lib, versions
from semppl_jax.runtime.errors import InputError
from semppl_jax.tools.profiling import (
  breakdown as breakdown_lib,
  random_batch,
  rates,
  step_variants,
  timing,
)
from semppl_jax.tools.profiling.on_state import Program, Series
from semppl_jax.tools.profiling.timing import Times
from semppl_jax.training import aot, flops as flops_lib
from semppl_jax.training.aot import AbstractRun

Report = dict[str, Any]
Timer = Callable[[dict[str, Callable[[], None]]], dict[str, Times]]


def measure(
  config: ml_collections.ConfigDict,
  steps: int,
  warmup: int,
  parts: bool = True,
  devices: Sequence[Any] | None = None,
) -> Report:
  """Takes steps on a batch of noise and returns the report, as JSON holds it.

  Counts and rates are those of one device; a `parts` of None did not fit.

  Args:
    config: the run's config; its data is not read.
    steps: how many of each program are timed.
    warmup: steps before these.
    parts: also say what the parts of the step take.
    devices: the devices to use (default: all).

  Raises:
    errors.InputError: fields are impossible, or the devices have no room.
  """
  mesh = mesh_lib.make_mesh(devices)
  run = aot.make_abstract_run(config, mesh)
  timer = functools.partial(timing.measure, rounds=steps, warmup=warmup)
  try:
    found = _on_devices(run, timer, parts)
  except jax.errors.JaxRuntimeError as error:
    if not device_memory.is_out_of_memory(error):
      raise
    where = mesh_lib.describe(run.mesh)
    raise InputError(device_memory.too_large(run.config, where)) from error
  # The rates of a device that has its memory back.
  compared = _against(run, found)
  return _about(run) | found | compared | {'versions': versions.installed()}


def _on_devices(run: AbstractRun, timer: Timer, parts: bool) -> Report:
  made = aot.abstract_step(run)
  layout = made.state_sharding
  state = jax.jit(made.init, out_shardings=layout)()
  given = random_batch.batch(run)
  step = step_variants.step(run, state, given)
  series = Series(state)
  del state  # Which the first step takes.
  times = timer({'step': series.call(step)})['step']
  found = _of_step(run, step, times)
  if parts:
    found |= _of_parts(run, series, step, given, timer)
  return found


def _of_step(run: AbstractRun, step: Program, times: Times) -> Report:
  cost = step.compiled.cost_analysis()
  assert cost is not None
  return {
    'step': times._asdict(),
    'images_per_second': 1e3 * run.config.batch_size / times.median_ms,
    'first_step_seconds': {
      'trace': step.trace_seconds,
      'compile': step.compile_seconds,
      'total': step.trace_seconds + step.compile_seconds,
    },
    'memory_gib': {
      'step': device_memory.step_gib(step.compiled),
      'device_peak': device_memory.device_peak_gib(run.mesh),
    },
    'tflop': cost['flops'] / 1e12,
    'gb_accessed': cost['bytes accessed'] / 1e9,
    'loops_counted_once': run.config.accumulate > 1,
  }


def _of_parts(
  run: AbstractRun, series: Series, step: Program, given: Any, timer: Timer
) -> Report:
  try:
    others = breakdown_lib.programs(run, series.state, given)
    calls = {k: series.call(p) for k, p in ({'step': step} | others).items()}
    times = timer(calls)
  except jax.errors.JaxRuntimeError as error:
    if not device_memory.is_out_of_memory(error):
      raise
    return {'parts': None}
  found = breakdown_lib.shares(times)
  return {
    'parts': {name: part._asdict() for name, part in found.items()},
    'programs': {name: each._asdict() for name, each in times.items()},
  }


def _against(run: AbstractRun, found: Report) -> Report:
  """Holds the step against what a device can do."""
  device = rates.of(run.mesh.local_devices[0])
  flops = flops_lib.model_flops(run.config)
  milliseconds = found['step']['median_ms']
  model = found['tflop'] if flops is None else flops / run.mesh.size / 1e12
  # The compiler counts a loop once, and the model nothing that is done twice.
  terms = {
    'compute': 1e3 * max(model, found['tflop']) / device.tflops,
    'memory': 1e3 * found['gb_accessed'] / device.gbps,
  }
  return {
    'model_tflop': model,
    'device': device._asdict(),
    'utilisation': 1e3 * model / milliseconds / device.tflops,
    'roofline_terms_ms': terms,
    'roofline_ms': max(terms.values()),
    'roofline_share': max(terms.values()) / milliseconds,
  }


def _about(run: AbstractRun) -> Report:
  config = run.config
  cut = isinstance(random_batch.like(run), Batch)
  return {
    'device_kind': run.mesh.devices.flat[0].device_kind,
    'devices': run.mesh.size,
    'method': config.method,
    'backbone': config.network.backbone,
    'precision': config.network.precision,
    'batch_size': config.batch_size,
    'accumulate': config.accumulate,
    'remat': config.network.remat,
    'given': 'views' if cut else 'whole images',
    'labelled_rows': random_batch.labelled_rows(run),
  }
