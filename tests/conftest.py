"""Strict flags and 8 CPU devices for every test."""

import os
import pathlib

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import jax

jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_numpy_dtype_promotion', 'strict')
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update(
  'jax_compilation_cache_dir',
  str(pathlib.Path(__file__).parent.parent / '.cache' / 'jax'),
)
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)


def pytest_collection_modifyitems(items):
  """Slow folders first: the workers then end together."""
  folders = {'training': 0, 'contracts': 1, 'exchange': 2}
  items.sort(key=lambda item: folders.get(item.path.parent.name, len(folders)))
