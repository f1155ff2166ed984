"""What a run takes of a device's memory, as the compiler and the device say."""

import jax
from jax.sharding import Mesh
import ml_collections

from semppl_jax.training.metric_writer import Logbook

STEP = 'memory/step_gib'
FULL = (
  'The memory of a device is full; other programs may use it too, or a smaller'
  ' batch fits'
)
GIB = 2**30


def step_gib(compiled: jax.stages.Compiled) -> float | None:
  """GiB that a compiled step takes of each device, where that is known.

  Arguments, results, temporaries and the program itself; an argument whose
  memory a result takes over is counted once.
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


def no_room(error: Exception) -> bool:
  """Whether an error of the devices says that their memory is too small."""
  return 'RESOURCE_EXHAUSTED' in str(error)


def too_large(
  config: ml_collections.ConfigDict, place: str, more: str = 'more devices'
) -> str:
  """A sentence for a step that does not fit, with what would help.

  Args:
    config: the run's.
    place: the devices, as `'8 x TPU v3'`.
    more: what to take instead.
  """
  remedy = f'lower it or raise config.accumulate={config.accumulate}'
  if config.network.remat != 'blocks':
    remedy += ", or set config.network.remat='blocks'"
  return (
    f'A step of config.batch_size={config.batch_size} does not fit the memory'
    f' of {place}; {remedy}, or take {more}.'
  )


def note(log: Logbook, step: int, compiled: jax.stages.Compiled) -> None:
  """Records what the step takes, once in the life of a run."""
  size = step_gib(compiled)
  if size is not None and STEP not in log.history:
    log.scalars(step, {STEP: size})


def device_peak_gib(mesh: Mesh) -> float | None:
  """The most GiB that this process ever had on one device; None on a CPU.

  Of all that the process did: an evaluation, and a run before, count too.
  """
  peaks = [
    (device.memory_stats() or {}).get('peak_bytes_in_use')
    for device in mesh.local_devices
  ]
  known = [peak for peak in peaks if peak is not None]
  return max(known) / GIB if known else None
