"""Strict flags and 8 CPU devices for every test."""

import os
import pathlib

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# Outside of the checkout, so that the next one need not compile all again; in
# the environment, so that programs that the tests start have it too.
os.environ.setdefault(
  'JAX_COMPILATION_CACHE_DIR',
  str(pathlib.Path('~/.cache/semppl_jax/jax').expanduser()),
)

import hypothesis
import jax
from jaxtyping import install_import_hook
import pytest

# Shapes and types of arguments and results are checked in every test. Before
# the rooms are imported, as by the helpers.
CHECKED_ROOMS = ('losses', 'methods', 'models', 'evaluators')
install_import_hook(
  [f'semppl_jax.{room}' for room in CHECKED_ROOMS], 'beartype.beartype'
)

from tests.helpers import tiny  # noqa: E402

# A slow machine is no failure.
hypothesis.settings.register_profile('tests', deadline=None)
hypothesis.settings.load_profile('tests')

# Compiling takes most of the time of the tests, and a fraction of it so. Only
# for versions that are known to know the flags: an unknown one ends the
# process. tests/test_main.py has a run that is compiled as users' are.
XLA_FLAGS = {
  (0, 10): (
    '--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false'
    ' --xla_llvm_disable_expensive_passes=true'
  ),
  (0, 12): '--xla_backend_optimization_level=0',
}
if jax.__version_info__[:2] in XLA_FLAGS:
  os.environ.setdefault('XLA_FLAGS', XLA_FLAGS[jax.__version_info__[:2]])
jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_numpy_dtype_promotion', 'strict')
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)


def pytest_collection_modifyitems(items):
  """Slow folders first: the workers then end together."""
  folders = {'training': 0, 'contracts': 1, 'exchange': 2}
  items.sort(key=lambda item: folders.get(item.path.parent.name, len(folders)))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  """Prepared indices of a test are its own."""
  monkeypatch.setenv('SEMPPL_JAX_CACHE', str(tmp_path / 'cache'))


@pytest.fixture(scope='session')
def images(tmp_path_factory):
  """The folder of images that tiny runs train on."""
  root = tmp_path_factory.mktemp('images')
  tiny.write_images(root / 'train')
  tiny.write_images(root / 'test', each=9)
  return root
