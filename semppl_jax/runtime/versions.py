"""Versions of what a result was made with."""

import importlib.metadata
import platform

_PACKAGES = ('semppl_jax', 'jax', 'jaxlib', 'dm-haiku', 'optax', 'numpy')


def installed() -> dict[str, str]:
  """Returns the version of Python and of each package that counts, by name."""
  found = {'python': platform.python_version()}
  for name in _PACKAGES:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue  # Run from a source tree that is not installed.
  return found
