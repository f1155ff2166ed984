"""Compiled programs that are kept from one start to the next."""

import hashlib
import pathlib
import platform

import jax

from semppl_jax.runtime import kept

_CPUINFO = pathlib.Path('/proc/cpuinfo')


def keep() -> None:
  """Keeps what takes over a second to compile, unless JAX was told where.

  They are below `kept.folder`. JAX's own
  `JAX_COMPILATION_CACHE_DIR` names another folder, and
  `JAX_ENABLE_COMPILATION_CACHE=false` keeps nothing.
  """
  if jax.config.values.get('jax_compilation_cache_dir') is not None:
    return
  folder = kept.folder() / 'compiled' / _machine()
  jax.config.update('jax_compilation_cache_dir', str(folder))


def _machine() -> str:
  """Tells processors apart: homes are shared, their instructions are not."""
  text = _CPUINFO.read_text() if _CPUINFO.exists() else platform.processor()
  lines = [x for x in text.splitlines() if x.startswith(('flags', 'Features'))]
  known = lines[0] if lines else text
  digest = hashlib.sha256(known.encode()).hexdigest()[:12]
  return f'{platform.machine()}-{digest}'
