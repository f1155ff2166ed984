"""Modules of the tests that benchmarks compare with: references in PyTorch."""

import importlib.util
import pathlib
from typing import Any

_TESTS = pathlib.Path(__file__).resolve().parent.parent / 'tests' / 'helpers'


def load(name: str) -> Any:
  """Imports a module of `tests/helpers`, whatever other `tests` there are."""
  spec = importlib.util.spec_from_file_location(name, _TESTS / f'{name}.py')
  if spec is None or spec.loader is None:
    raise ImportError(f'{_TESTS / name}.py is missing.')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
