"""The device mesh and the only place that spells its axis."""

from collections.abc import Sequence
from typing import Protocol

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree
import numpy as np

AXIS = 'data'


class Device(Protocol):
  """A `jax.Device`, of which type checkers do not know the class."""

  id: int
  process_index: int
  platform: str
  device_kind: str

  def memory_stats(self) -> dict[str, int] | None:
    """Returns statistics of the allocator, which a CPU does not have."""
    ...


def make_mesh(devices: Sequence[Device] | None = None) -> Mesh:
  """Returns a one-dimensional mesh over `devices` (default: all of them)."""
  devices = jax.devices() if devices is None else devices
  # By process: on a slice ids interleave over the hosts, and process p feeds
  # part p of the batch.
  devices = sorted(devices, key=lambda d: (d.process_index, d.id))
  # Auto: with Explicit axes, the default of jax.make_mesh, the gradient of a
  # Haiku ResNet raises ShardingTypeError.
  return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def describe(mesh: Mesh) -> str:
  """Returns number and kind of the devices, as `'8 x TPU v3'`."""
  return f'{mesh.size} x {mesh.devices.flat[0].device_kind}'


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of an array that every device holds as a whole."""
  return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh, axis: int = 0) -> NamedSharding:
  """Returns the sharding of an array split over the devices along `axis`."""
  return NamedSharding(mesh, PartitionSpec(*(None,) * axis, AXIS))


def shard_array(mesh: Mesh, x: np.ndarray, axis: int) -> jax.Array:
  """Splits an array along `axis` over the devices.

  Every process must hold the whole array.
  """
  return jax.make_array_from_callback(
    x.shape, sharded(mesh, axis), lambda part: x[part]
  )


def to_global(mesh: Mesh, tree: PyTree) -> PyTree:
  """Builds global arrays from this process's rows (leading axis [B])."""
  sharding = sharded(mesh)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, x), tree
  )


def local_rows(x: jax.Array) -> np.ndarray:
  """Returns this process's rows of a global array that is split by rows."""
  parts = {
    (shard.index[0].start or 0): np.asarray(shard.data)
    for shard in x.addressable_shards
  }
  return np.concatenate([parts[start] for start in sorted(parts)])
