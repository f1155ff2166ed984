"""Benchmark of a config's train step on the available devices."""

from collections.abc import Callable, Sequence
import itertools
from typing import Any

import jax
import ml_collections

from semppl_jax.data.batch import Batch
from semppl_jax.runtime import device_memory, mesh as mesh_lib, versions
from semppl_jax.runtime.errors import InputError
from semppl_jax.runtime.mesh import Device
from semppl_jax.tools.compile import cost_analysis
from semppl_jax.tools.profiling import (
  breakdown,
  hardware,
  random_batch,
  timing,
)
from semppl_jax.tools.profiling.breakdown import Part
from semppl_jax.tools.profiling.step_variants import networks_only
from semppl_jax.tools.profiling.timing import CompiledStep
from semppl_jax.training import aot
from semppl_jax.training.aot import AbstractRun
from semppl_jax.training.profiling import Profiler

Report = dict[str, Any]
_MAX_PROFILED = 10
_NO_PARTS = (
  'The networks alone do not fit this memory beside the step; try a smaller'
  ' config.batch_size for the parts.'
)


def measure(
  config: ml_collections.ConfigDict,
  steps: int,
  warmup: int,
  parts: bool = True,
  profiler: Profiler | None = None,
  devices: Sequence[Device] | None = None,
) -> Report:
  """Times steps on a random batch and returns the report, as plain JSON.

  Counts and rates are those of one device; `parts` is None where the networks
  alone did not fit beside the step.

  Args:
    config: config of the run; its data is not read.
    steps: timed steps of each program.
    warmup: steps before these.
    parts: True to also report the parts of the step, and the networks alone.
    profiler: traces some of the steps, counted with the warm-up.
    devices: devices to use (default: all).

  Raises:
    InputError: fields are impossible, or the step does not fit the devices.
  """
  run = aot.make_abstract_run(config, mesh_lib.make_mesh(devices))
  try:
    report = _on_devices(run, steps, warmup, parts, profiler)
  except jax.errors.JaxRuntimeError as error:
    if not device_memory.is_out_of_memory(error):
      raise
    where = mesh_lib.describe(run.mesh)
    raise InputError(device_memory.too_large(run.config, where)) from error
  # Afterwards, when the memory of the device is free again.
  report |= _roofline(run, report)
  return _settings(run) | report | {'versions': versions.installed()}


def text(report: Report) -> str:
  """Returns the report as aligned lines: figures, then parts."""
  figures = {k: v for k, v in report.items() if k not in ('parts', 'programs')}
  lines = [cost_analysis.table(figures)]
  if parts := report.get('parts'):
    parts = {name: Part(**part) for name, part in parts.items()}
    lines.append(breakdown.table(parts))
  elif 'parts' in report:
    lines.append(_NO_PARTS)
  return '\n\n'.join(lines)


def _on_devices(
  run: AbstractRun,
  steps: int,
  warmup: int,
  parts: bool,
  profiler: Profiler | None,
) -> Report:
  inputs = random_batch.batch(run)
  step = CompiledStep(run, inputs)
  call = _profiled(step, profiler) if profiler else step
  times = timing.measure({'step': call}, steps, warmup)['step']
  if profiler:
    profiler.close()
  cost = step.compiled.cost_analysis()
  assert cost is not None
  report: Report = {
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
  if not parts:
    return report
  try:
    bare = CompiledStep(run._replace(method=networks_only(run.method)), inputs)
    programs = timing.measure({'step': step, 'bare': bare}, steps, warmup)
  except jax.errors.JaxRuntimeError as error:
    if not device_memory.is_out_of_memory(error):
      raise
    return report | {'parts': None}
  hlo = step.compiled.as_text()
  assert hlo is not None
  profiled = min(steps, _MAX_PROFILED)
  shares = breakdown.profile(step, hlo, profiled, times.median_ms)
  return report | {
    'parts': {name: part._asdict() for name, part in shares.items()},
    'programs': {name: each._asdict() for name, each in programs.items()},
  }


def _profiled(
  step: Callable[[], None], profiler: Profiler
) -> Callable[[], None]:
  number = itertools.count(1)

  def call() -> None:
    with profiler.step(next(number)):
      step()

  return call


def _roofline(run: AbstractRun, report: Report) -> Report:
  """Compares the step with the rates of a device."""
  rates = hardware.rates(run.mesh.local_devices[0])
  flops = aot.model_flops(run.config)
  ms, tflop = report['step']['median_ms'], report['tflop']
  model = tflop if flops is None else flops / run.mesh.size / 1e12
  # The compiler counts a loop once, and the model no work that is done twice.
  terms = {
    'compute': 1e3 * max(model, tflop) / rates.tflops,
    'memory': 1e3 * report['gb_accessed'] / rates.gbps,
  }
  return {
    'model_tflop': model,
    'device': rates._asdict(),
    'utilisation': 1e3 * model / ms / rates.tflops,
    'roofline_terms_ms': terms,
    'roofline_ms': max(terms.values()),
    'roofline_share': max(terms.values()) / ms,
  }


def _settings(run: AbstractRun) -> Report:
  config = run.config
  views = isinstance(random_batch.abstract_inputs(run), Batch)
  return {
    'device_kind': run.mesh.devices.flat[0].device_kind,
    'devices': run.mesh.size,
    'method': config.method,
    'backbone': config.network.backbone,
    'precision': config.network.precision,
    'batch_size': config.batch_size,
    'accumulate': config.accumulate,
    'remat': config.network.remat,
    'given': 'views' if views else 'whole images',
    'labelled_rows': random_batch.labelled_rows(run),
  }
