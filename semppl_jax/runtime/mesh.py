"""The device mesh and the only place that spells its axis."""

from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
import numpy as np

AXIS = 'data'


def make_mesh(devices: Any = None) -> Mesh:
  """Returns a one-dimensional mesh over `devices` (default: all of them)."""
  devices = jax.devices() if devices is None else devices
  # By process: on a slice ids interleave over the hosts, and process p feeds
  # the p-th part of the batch.
  devices = sorted(devices, key=lambda d: (d.process_index, d.id))
  # Auto: with Explicit axes, the default of jax.make_mesh, the gradient of a
  # Haiku ResNet raises ShardingTypeError.
  return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def describe(mesh: Mesh) -> str:
  """Number and kind of the devices, as `'8 x TPU v3'`."""
  return f'{mesh.size} x {mesh.devices.flat[0].device_kind}'


def replicated(mesh: Mesh) -> NamedSharding:
  """Sharding of an array that every device holds whole."""
  return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh, axis: int = 0) -> NamedSharding:
  """Sharding of an array split over the devices along `axis`."""
  return NamedSharding(mesh, PartitionSpec(*(None,) * axis, AXIS))


def spread(mesh: Mesh, x: np.ndarray, axis: int) -> jax.Array:
  """Splits an array that every process holds whole over the devices."""
  return jax.make_array_from_callback(
    x.shape, sharded(mesh, axis), lambda part: x[part]
  )


def to_global(mesh: Mesh, tree: Any) -> Any:
  """Makes global arrays of this process's rows (leading axis [B])."""
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
