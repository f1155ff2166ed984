"""Named scopes as tracks of a CPU's trace, in both of its files."""

import gzip
import json

import jax
import jax.numpy as jnp
import pytest

from semppl_jax.training import profile_scopes
from semppl_jax.training.profile_scopes import Span
from semppl_jax.training.profiling import Profiler, StepWindow


@pytest.mark.parametrize(
  ('op_name', 'scope'),
  [
    ('jit(train)/gradient/jvp(forward)/stem/conv', 'forward'),
    ('jit(train)/gradient/transpose(jvp(gradient))/loss/mul', 'loss grad'),
    ('jit(train)/update/add', 'update'),
    ('jit(train)/transpose', ''),
    ('', ''),
  ],
)
def test_an_op_name_has_the_scopes_of_the_step(op_name, scope):
  assert profile_scopes.scope_of(op_name) == scope


def test_neighbours_are_joined_and_what_is_nested_is_not_shown():
  spans = [
    *(Span(0, 10, 'loss'), Span(2, 3, 'update'), Span(12, 20, 'loss')),
    *(Span(21, 30, 'update'), Span(1000, 1001, 'update')),
  ]
  assert profile_scopes.merge(reversed(spans)) == [
    Span(0, 20, 'loss'), Span(21, 30, 'update'), Span(1000, 1001, 'update'),
  ]  # fmt: skip


def test_both_files_of_a_trace_show_the_scopes(tmp_path):
  @jax.jit
  def step(x):
    with jax.named_scope('forward'):
      y = jnp.sin(x @ x)
    with jax.named_scope('update'):
      return y @ y

  profiler = Profiler(StepWindow(1, 1), tmp_path)
  with profiler.step(1) as results:
    results(step(jnp.ones((64, 64))))
  [trace] = tmp_path.rglob('*.trace.json.gz')
  events = json.loads(gzip.decompress(trace.read_bytes()))['traceEvents']
  tracks = {
    (event['pid'], event['tid'])
    for event in events
    if 'named scopes' in event.get('args', {}).get('name', '')
  }
  shown = {
    event['name']
    for event in events
    if event.get('ph') == 'X' and (event['pid'], event['tid']) in tracks
  }
  [space] = tmp_path.rglob('*.xplane.pb')
  lines = {
    event.name
    for plane in jax.profiler.ProfileData.from_file(str(space)).planes
    for line in plane.lines
    if 'named scopes' in line.name
    for event in line.events
  }
  assert shown == lines == {'forward', 'update'}
