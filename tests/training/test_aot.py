"""Ahead-of-time compilation: errors of the compiler, arithmetic of a step."""

import types

import jax
import pytest

from configs import quickstart
from semppl_jax.runtime import device_memory
from semppl_jax.runtime.errors import InputError
from semppl_jax.runtime.mesh import make_mesh
from semppl_jax.training import aot


def test_what_does_not_fit_is_said_with_what_helps(monkeypatch):
  config = quickstart.get_config()
  step = types.SimpleNamespace(config=config, mesh=make_mesh(jax.devices()[:2]))

  def compile_it():
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory.')

  lowered = types.SimpleNamespace(compile=compile_it)
  monkeypatch.setattr(aot, 'lower', lambda *_: lowered)
  with pytest.raises(InputError) as caught:
    aot.compile_step(step, None, None)
  assert str(caught.value) == device_memory.too_large(config, '2 x cpu')


def test_other_errors_of_the_compiler_stay_what_they_are(monkeypatch):
  def compile_it():
    raise jax.errors.JaxRuntimeError('INTERNAL: broken')

  lowered = types.SimpleNamespace(compile=compile_it)
  monkeypatch.setattr(aot, 'lower', lambda *_: lowered)
  step = types.SimpleNamespace()
  with pytest.raises(jax.errors.JaxRuntimeError, match='broken'):
    aot.compile_step(step, None, None)


def test_the_arithmetic_is_that_of_one_pass():
  config = quickstart.get_config()
  config.network.classifier.classes = 2
  want = aot.model_flops(config)
  config.accumulate, config.network.remat = 2, 'blocks'
  assert aot.model_flops(config) == want > 0
