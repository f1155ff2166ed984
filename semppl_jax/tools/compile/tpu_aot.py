"""Ahead-of-time compilation of a config's train step for absent TPUs."""

from collections.abc import Sequence
import importlib.metadata
import importlib.util
import time

import jax
from jax.experimental import topologies
import ml_collections

from semppl_jax import __version__
from semppl_jax.config import loading
from semppl_jax.runtime import device_memory, mesh as mesh_lib
from semppl_jax.runtime.mesh import Device
from semppl_jax.tools.compile import cost_analysis
from semppl_jax.tools.profiling import hardware
from semppl_jax.tools.profiling.step_variants import networks_only
from semppl_jax.training import aot


def check(
  config: ml_collections.ConfigDict,
  topology: str,
  overhead: bool = True,
  photometric: bool = False,
) -> cost_analysis.Report:
  """Compiles the train step of a config for a slice, and analyzes its cost.

  Args:
    config: config of the run.
    topology: name of the slice, as `'v3:8x8'`.
    overhead: True to also compile the networks alone, to compare with.
    photometric: True to also compile the step without color operations and
      blur.

  Returns:
    The report, as plain JSON; figures are those of one core.

  Raises:
    ValueError: the slice or the config is impossible, or libtpu is missing.
  """
  mesh = mesh_lib.make_mesh(devices(topology))
  device = mesh.devices.flat[0]
  core = hardware.core(device.device_kind, device.num_cores)
  run = aot.make_abstract_run(config, mesh)
  began = time.monotonic()
  try:
    compiled = aot.lower_abstract(run).compile()
    report = cost_analysis.measure(compiled, core)
  except jax.errors.JaxRuntimeError as error:
    if not device_memory.is_out_of_memory(error):
      raise
    compiled, report = None, cost_analysis.out_of_memory(str(error), core)
  seconds = time.monotonic() - began
  if overhead and compiled is not None:
    networks = run._replace(method=networks_only(run.method))
    alone = aot.lower_abstract(networks).compile()
    report['overhead'] = cost_analysis.overhead(
      report, cost_analysis.measure(alone, core)
    )
  if photometric and compiled is not None:
    plain = aot.lower_abstract(aot.without_photometric(run)).compile()
    report['photometric'] = cost_analysis.overhead(
      report, cost_analysis.measure(plain, core)
    )
  return {
    'topology': topology,
    'cores': mesh.size,
    'device_kind': device.device_kind,
    'batch_size': config.batch_size,
    **report,
    'compile_seconds': seconds,
    'versions': versions(),
  }


def versions() -> dict[str, str]:
  """Returns the versions of the compiler's packages.

  Raises:
    ConfigError: libtpu is not installed.
  """
  _need_libtpu()
  return {
    'semppl_jax': __version__,
    'jax': jax.__version__,
    'libtpu': importlib.metadata.version('libtpu'),
  }


def devices(topology: str) -> Sequence[Device]:
  """Returns the devices of a TPU slice, to compile for but not to run on.

  Args:
    topology: chip and shape, as `'v3:8x8'`.

  Raises:
    ValueError: libtpu is not installed, or it knows no such slice.
  """
  _need_libtpu()
  try:
    return topologies.get_topology_desc(
      platform='tpu', topology_name=topology
    ).devices
  except jax.errors.JaxRuntimeError as error:
    kind, _, reason = str(error).partition(': ')
    if kind != 'INVALID_ARGUMENT':
      raise
    raise ValueError(
      f'topology is {topology!r}; it must be a chip and a shape in whole'
      f' hosts, as v3:8x8, v4:4x4x4 or v5e:4x8 (libtpu: {reason})'
    ) from error


def _need_libtpu() -> None:
  if importlib.util.find_spec('libtpu') is None:
    raise loading.ConfigError(
      'Compiling for a TPU needs libtpu, which is not installed:'
      " pip install -e '.[tpu]' (Linux on x86-64 alone)."
    )
