"""The step that a run compiles: its memory is logged, or too large."""

import types

import jax
import jax.numpy as jnp
import pytest

from configs import quickstart
from semppl_jax.runtime import device_memory
from semppl_jax.runtime.mesh import make_mesh
from semppl_jax.training import loop


def test_it_is_recorded_once():
  compiled = jax.jit(lambda x: x).lower(jnp.ones((512, 512))).compile()
  lines, history = [], {}

  def scalars(step, values):
    lines.append((step, values))
    history.update({name: [(step, x)] for name, x in values.items()})

  log = types.SimpleNamespace(history=history, scalars=scalars)
  loop._log_step_memory(log, 3, compiled)
  loop._log_step_memory(log, 5, compiled)
  assert lines == [(3, {'memory/step_gib': device_memory.step_gib(compiled)})]


def test_what_does_not_fit_is_said_with_what_helps(monkeypatch):
  config = quickstart.get_config()
  built = types.SimpleNamespace(
    config=config, mesh=make_mesh(jax.devices()[:2]), step=None
  )

  def compile_it():
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory.')

  lowered = types.SimpleNamespace(compile=compile_it)
  monkeypatch.setattr(loop.lowering, 'lower', lambda *_: lowered)
  with pytest.raises(loop.InputError) as caught:
    loop.compile_step(built, None, None)
  assert str(caught.value) == device_memory.too_large(config, '2 x cpu')


def test_other_errors_of_the_compiler_stay_what_they_are(monkeypatch):
  def compile_it():
    raise jax.errors.JaxRuntimeError('INTERNAL: broken')

  lowered = types.SimpleNamespace(compile=compile_it)
  monkeypatch.setattr(loop.lowering, 'lower', lambda *_: lowered)
  built = types.SimpleNamespace(step=None, mesh=None)
  with pytest.raises(jax.errors.JaxRuntimeError, match='broken'):
    loop.compile_step(built, None, None)
