"""Where what was found once is kept for the next start."""

import os
import pathlib


def folder() -> pathlib.Path:
  """Returns `SEMPPL_JAX_CACHE`, or else `~/.cache/semppl_jax`."""
  named = os.environ.get('SEMPPL_JAX_CACHE') or '~/.cache/semppl_jax'
  return pathlib.Path(named).expanduser()
