"""Memory of a compiled program, by a sum done by hand."""

import types

import jax
import jax.numpy as jnp
import pytest

from configs import quickstart
from semppl_jax.runtime import device_memory
from semppl_jax.runtime.mesh import make_mesh

MIB = 2**-10  # In GiB; 512 x 512 float32 are one.


def test_arguments_results_and_temporaries_but_nothing_twice():
  x = jnp.ones((512, 512))

  def program(x, y):
    return x + 1.0, y * 2.0

  apart = jax.jit(program).lower(x, x).compile()
  # A tuple of results has a few bytes of its own.
  assert device_memory.step_gib(apart) == pytest.approx(4 * MIB, rel=1e-4)
  given = jax.jit(program, donate_argnums=0).lower(x, x).compile()
  assert device_memory.step_gib(given) == pytest.approx(3 * MIB, rel=1e-4)


def test_every_part_counts():
  memory = types.SimpleNamespace(
    argument_size_in_bytes=1000,
    output_size_in_bytes=100,
    alias_size_in_bytes=40,
    temp_size_in_bytes=7,
    generated_code_size_in_bytes=10000,
  )
  compiled = types.SimpleNamespace(memory_analysis=lambda: memory)
  assert device_memory.step_gib(compiled) == 11067 / 2**30
  unknown = types.SimpleNamespace(memory_analysis=lambda: None)
  assert device_memory.step_gib(unknown) is None


def test_the_peak_is_that_of_the_fullest_device():
  def device(stats):
    return types.SimpleNamespace(memory_stats=lambda: stats)

  def peak(*stats):
    return device_memory.device_peak_gib(
      types.SimpleNamespace(local_devices=[*map(device, stats)])
    )

  gib = 2**30
  assert peak({'peak_bytes_in_use': gib}, {'peak_bytes_in_use': 3 * gib}) == 3
  assert peak(None, {}) is None
  assert (
    device_memory.device_peak_gib(make_mesh()) is None
  )  # A CPU does not tell.


def test_remedies_name_what_is_not_yet_done():
  config = quickstart.get_config()
  assert device_memory.too_large(config, '2 x cpu') == (
    f'A step of config.batch_size={config.batch_size} does not fit the memory'
    ' of 2 x cpu; lower it or raise config.accumulate=1, or set'
    " config.network.remat='blocks', or take more devices."
  )
  config.network.remat = 'blocks'
  assert 'remat' not in device_memory.too_large(config, '2 x cpu')
