"""Cache of what is found or compiled once, for later starts."""

import hashlib
import os
import pathlib
import platform

import jax

_CPUINFO = pathlib.Path('/proc/cpuinfo')


def cache_dir() -> pathlib.Path:
  """Returns `SEMPPL_JAX_CACHE`, by default `~/.cache/semppl_jax`."""
  named = os.environ.get('SEMPPL_JAX_CACHE') or '~/.cache/semppl_jax'
  return pathlib.Path(named).expanduser()


def enable_compilation_cache() -> None:
  """Keeps programs that take over a second to compile below `cache_dir`.

  JAX's own `JAX_COMPILATION_CACHE_DIR` names another folder, and
  `JAX_ENABLE_COMPILATION_CACHE=false` disables the cache.
  """
  if jax.config.values.get('jax_compilation_cache_dir') is not None:
    return
  folder = cache_dir() / 'compiled' / _machine()
  jax.config.update('jax_compilation_cache_dir', str(folder))


def _machine() -> str:
  """Identifies the processor: homes are shared, instruction sets are not."""
  text = _CPUINFO.read_text() if _CPUINFO.exists() else platform.processor()
  lines = [x for x in text.splitlines() if x.startswith(('flags', 'Features'))]
  known = lines[0] if lines else text
  digest = hashlib.sha256(known.encode()).hexdigest()[:12]
  return f'{platform.machine()}-{digest}'
