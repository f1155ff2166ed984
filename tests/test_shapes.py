"""Shapes in annotations: there for every public array, and checked in tests."""

import ast
import pathlib

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import semppl_jax
from semppl_jax.evaluators import corruptions
from semppl_jax.losses import nt_xent
from semppl_jax.methods import knn
from semppl_jax.models.backbones import layers

ROOT = pathlib.Path(semppl_jax.__file__).parent
ROOMS = ('losses', 'methods', 'models', 'evaluators')
BARE = ('Array', 'jax.Array', 'jnp.ndarray', 'np.ndarray', 'ArrayLike')


@pytest.mark.parametrize('function, arguments, name', [
    (nt_xent.suncet, (jnp.ones((4, 2)), jnp.zeros(3, jnp.int32), 0.1), 'label'),
    (nt_xent.nt_xent, (jnp.ones((4, 3, 2)), 0.1), 'projection'),
    (knn.vote, (jnp.zeros((4, 2), jnp.int32), jnp.ones((2, 4))), 'similarity'),
    (layers.global_mean, (jnp.ones((4, 2, 3)),), 'x'),
    (
      corruptions.apply,
      ('fog', np.ones((2, 8, 8, 3), np.uint8), 1, 0, np.arange(3)), 'index',
    ),
], ids=['suncet', 'nt_xent', 'vote', 'global_mean', 'apply'])  # fmt: skip
def test_a_wrong_axis_raises_and_names_the_argument(function, arguments, name):
  with pytest.raises(jaxtyping.TypeCheckError, match=f"parameter '{name}'"):
    function(*arguments)


def _is_bare(annotation: ast.expr | None) -> bool:
  """Returns True without an annotation, or for an array of any shape."""
  if isinstance(annotation, ast.BinOp):
    return _is_bare(annotation.left) or _is_bare(annotation.right)
  return annotation is None or ast.unparse(annotation) in BARE


@pytest.mark.parametrize('path', [
    path.relative_to(ROOT)
    for room in ROOMS
    for path in sorted((ROOT / room).rglob('*.py'))
], ids=str)  # fmt: skip
def test_arrays_of_public_functions_have_shapes(path):
  for function in ast.parse((ROOT / path).read_text()).body:
    if not isinstance(function, ast.FunctionDef):
      continue
    if function.name.startswith('_'):
      continue
    arguments = function.args
    for x in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
      assert not _is_bare(x.annotation), f'{function.name}({x.arg})'
    assert not _is_bare(function.returns), f'{function.name} returns'
