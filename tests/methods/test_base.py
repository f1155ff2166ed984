"""The interface of methods."""

from semppl_jax.methods.base import MethodContext


def test_steps_of_a_duration_are_those_of_the_run():
  context = MethodContext(None, batch_size=16, examples=160)
  assert context.steps('2 epochs') == 20
  assert context.steps('32 examples') == 2
