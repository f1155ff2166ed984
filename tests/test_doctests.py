"""The examples in docstrings give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import semppl_jax

ROOMS = ('losses', 'optim', 'methods')


def _modules(room):
  folder = f'{semppl_jax.__path__[0]}/{room}'
  return [f'semppl_jax.{room}.{x.name}' for x in pkgutil.iter_modules([folder])]


@pytest.mark.parametrize('name', [x for room in ROOMS for x in _modules(room)])
def test_examples(name):
  failed, _ = doctest.testmod(importlib.import_module(name))
  assert not failed


@pytest.mark.parametrize(
  'name', [*_modules('losses'), *_modules('optim'), 'semppl_jax.methods.knn']
)
def test_public_functions_have_examples(name):
  module = importlib.import_module(name)
  public = {x for x in vars(module) if not x.startswith('_')}
  examples = {
    test.name.split('.')[-1]
    for test in doctest.DocTestFinder().find(module)
    if test.examples
  }
  functions = {
    x
    for x in public
    if callable(getattr(module, x))
    and getattr(getattr(module, x), '__module__', '') == name
    and not isinstance(getattr(module, x), type)
  }
  assert functions <= examples
