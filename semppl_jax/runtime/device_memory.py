"""Memory of a device: what a step needs, and the peak of a run."""

import jax
from jax.sharding import Mesh
import ml_collections

STEP = 'memory/step_gib'
FULL = (
  'The memory of a device is full; other programs may use it too, or a smaller'
  ' batch fits'
)
GIB = 2**30


def step_gib(compiled: jax.stages.Compiled) -> float | None:
  """Returns GiB that a compiled step takes of each device, if that is known.

  Arguments, results, temporaries and the program itself; donated memory counts
  once.
  """
  memory = compiled.memory_analysis()
  if memory is None:
    return None
  return (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
    + memory.temp_size_in_bytes
    + memory.generated_code_size_in_bytes
  ) / GIB


def is_out_of_memory(error: Exception) -> bool:
  """Returns True if a device error says that its memory is too small."""
  return 'RESOURCE_EXHAUSTED' in str(error)


def too_large(
  config: ml_collections.ConfigDict, place: str, more: str = 'more devices'
) -> str:
  """Returns the sentence that a step does not fit, with remedies.

  Args:
    config: config of the run.
    place: the devices, as `'8 x TPU v3'`.
    more: the last remedy.
  """
  remedy = f'lower it or raise config.accumulate={config.accumulate}'
  if config.network.remat != 'blocks':
    remedy += ", or set config.network.remat='blocks'"
  return (
    f'A step of config.batch_size={config.batch_size} does not fit the memory'
    f' of {place}; {remedy}, or take {more}.'
  )


def device_peak_gib(mesh: Mesh) -> float | None:
  """Returns the peak GiB of this process on one device; None on a CPU.

  Evaluations and earlier runs of the same process count too.
  """
  peaks = [
    (device.memory_stats() or {}).get('peak_bytes_in_use')
    for device in mesh.local_devices
  ]
  known = [peak for peak in peaks if peak is not None]
  return max(known) / GIB if known else None
