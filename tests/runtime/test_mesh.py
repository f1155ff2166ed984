"""The device mesh on eight CPU devices."""

import jax
import numpy as np

from semppl_jax.runtime import mesh as mesh_lib


def test_devices_stand_by_process_then_by_id():
  devices = jax.devices()
  mesh = mesh_lib.make_mesh(devices[::-1])
  assert [*mesh.devices.flat] == devices
  assert mesh_lib.describe(mesh_lib.make_mesh(devices[:2])) == '2 x cpu'


def test_arrays_are_split_along_one_axis():
  mesh = mesh_lib.make_mesh()
  x = np.arange(3 * 16).reshape(3, 16)
  split = mesh_lib.shard_array(mesh, x, axis=1)
  np.testing.assert_array_equal(split, x)
  assert {shard.data.shape for shard in split.addressable_shards} == {(3, 2)}
  whole = jax.device_put(x, mesh_lib.replicated(mesh))
  assert {shard.data.shape for shard in whole.addressable_shards} == {(3, 16)}


def test_rows_of_a_process_come_back_in_their_order():
  mesh = mesh_lib.make_mesh()
  tree = {'a': np.arange(16), 'b': np.arange(32.0).reshape(16, 2)}
  global_tree = mesh_lib.to_global(mesh, tree)
  assert global_tree['a'].sharding == mesh_lib.sharded(mesh)
  for name, rows in tree.items():
    np.testing.assert_array_equal(mesh_lib.local_rows(global_tree[name]), rows)
