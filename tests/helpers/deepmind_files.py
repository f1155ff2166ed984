"""Files with the layout of DeepMind's checkpoints.

Not the originals. They follow the released code that wrote and reads those: the
trees and the axis over devices of BYOL's, ReLICv2's and SemPPL's experiments,
and the names under which dill, old JAX and old NumPy pickle arrays, written by
stand-ins of those names.
"""

import collections
import io
import pickle
import sys
import types

import haiku as hk
import jax
import numpy as np

from tests.helpers import random_weights

ARRAYS = ('numpy', 'dill', 'jax')
_JAX = 'jax._src.device_array'


def small_weights(heads=random_weights.HEADS, seed=0):
  """Weights of a shrunk ResNet-18 that pads as DeepMind's networks."""
  return random_weights.draw(
    random_weights.foreign(padding='same'), heads, seed
  )


def assert_same(have, want):
  """Every array equal, its dtype too."""
  assert have.keys() == want.keys()
  jax.tree.map(
    lambda x, y: np.testing.assert_array_equal(x, y, strict=True), have, want
  )


def experiment(weights, target, devices=0):
  """The dict that SemPPL's experiment saved."""

  def copied(tree):
    return {
      module: {
        k: np.stack([v] * devices) if devices else v for k, v in group.items()
      }
      for module, group in tree.items()
    }

  return {
    'experiment_state': {
      'online_params': copied(weights.params),
      'online_state': copied(weights.net_state),
      'target_params': copied(target.params),
      'target_state': copied(target.net_state),
      'opt_state': ({}, {'mu': copied(weights.params)}),
    },
    'step': np.int64(300),
    'rng': np.zeros((devices or 1, 2), np.uint32),
  }


def as_flat_mappings(content):
  """The same, the trees in Haiku's old immutable mappings."""
  state = content['experiment_state']
  flat = {
    name: hk.data_structures.to_immutable_dict(tree)
    for name, tree in state.items()
    if name != 'opt_state'
  }
  return content | {'experiment_state': flat}


def dump(monkeypatch, content, arrays='numpy', named_tuple=False):
  """Pickles as dill did.

  Args:
    monkeypatch: takes the stand-ins away again.
    content: what `experiment` returned.
    arrays: whose constructor of arrays is named, of `ARRAYS`.
    named_tuple: BYOL's, as dill writes the class itself.
  """
  _module(monkeypatch, 'dill')
  dill = _module(monkeypatch, 'dill._dill')
  jax = _module(monkeypatch, _JAX)
  create = _function(dill, '_create_array')
  make_class = _function(dill, '_create_namedtuple')
  restore = _function(jax, 'reconstruct_device_array')

  fields = tuple(content['experiment_state'])
  state_class = collections.namedtuple('_ByolExperimentState', fields)

  class Writer(pickle._Pickler):
    def reducer_override(self, value):
      if isinstance(value, np.ndarray) and arrays != 'numpy':
        function, arguments, state = value.__reduce__()
        if arrays == 'dill':
          return create, (function, arguments, state, None)
        return restore, (function, arguments, state, {'weak_type': False})
      if value is state_class:
        name = ('_ByolExperimentState', fields, 'byol.byol_experiment')
        return make_class, name
      return NotImplemented

  if named_tuple:
    state = state_class(**content['experiment_state'])
    content = content | {'experiment_state': state}
  file = io.BytesIO()
  Writer(file, protocol=2).dump(content)
  # NumPy 1 had the function there.
  return file.getvalue().replace(b'cnumpy._core.', b'cnumpy.core.')


def _module(monkeypatch, name):
  module = types.ModuleType(name)
  monkeypatch.setitem(sys.modules, name, module)
  return module


def _function(module, name):
  def function(*_):
    raise AssertionError('Nothing in a file is called.')

  function.__name__ = function.__qualname__ = name
  function.__module__ = module.__name__
  setattr(module, name, function)
  return function
