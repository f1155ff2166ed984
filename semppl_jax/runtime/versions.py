"""Versions of the packages that a result depends on."""

import importlib.metadata
import platform

_PACKAGES = ('semppl_jax', 'jax', 'jaxlib', 'dm-haiku', 'optax', 'numpy')


def installed() -> dict[str, str]:
  """Returns the versions of Python and of these packages, by name."""
  versions = {'python': platform.python_version()}
  for name in _PACKAGES:
    try:
      versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue  # Run from a source tree that is not installed.
  return versions
