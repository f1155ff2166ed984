"""The train step: named parts, one trace, per-example metrics."""

import re

import jax
import pytest

from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.training import aot
from semppl_jax.training.train_step import ROWS
from tests.helpers import tiny

SCOPES = (
  'augment', 'forward', 'target', 'loss', 'gradient', 'update', 'average',
  'metrics',
)  # fmt: skip


@pytest.fixture(scope='module')
def lowered(tmp_path_factory):
  """The lowered step of SemPPL, in two microbatches, and its text."""
  config = tiny.config(tmp_path_factory.mktemp('none'))
  config.accumulate = 2
  run = aot.make_abstract_run(config, mesh_lib.make_mesh(jax.devices()[:1]))
  return aot.lower_abstract(run)


@pytest.mark.parametrize('scope', SCOPES)
def test_a_profile_can_name_each_part(lowered, scope):
  text = lowered.as_text(debug_info=True)
  assert re.search(rf'[/"(]{scope}[/)]', text)


def test_metrics_are_scalars_or_values_per_example(lowered):
  _, metrics = lowered.out_info
  assert metrics['loss/total'].shape == ()
  for name, value in metrics.items():
    assert value.shape[:1] == ((16,) if name.startswith(ROWS) else ())
  assert {f'{ROWS}{name}' for name in ('label', 'share', 'index')} <= set(
    metrics
  )


def test_the_state_keeps_its_shapes(lowered):
  (state, _), (new, _) = lowered.args_info[0], lowered.out_info
  assert jax.tree.structure(state) == jax.tree.structure(new)
  for old, made in zip(
    jax.tree.leaves(state), jax.tree.leaves(new), strict=True
  ):
    assert (old.shape, old.dtype) == (made.shape, made.dtype)
