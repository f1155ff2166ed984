"""Parts of a step: by scope, by instruction, and by time in a profile."""

import jax
import pytest

from semppl_jax.tools.profiling import breakdown


def _scopes(op_name):
  return f'metadata={{op_name="jit(train)/{op_name}" stack_frame_id=1}}'


HLO = f"""
%body (b: f32[4]) -> f32[4] {{
  ROOT %inner = f32[4] add(%b, %b), {_scopes('gradient/while/augment/add')}
}}

ENTRY %main (p: f32[4]) -> f32[4] {{
  %p = f32[4] parameter(0)
  %copy.1 = f32[4]{{0}} copy(%p)
  %copy.2 = f32[4]{{0}} copy(%copy.1)
  %loop = f32[4] while(%p), body=%body, {_scopes('gradient/while')}
  %dot.3 = f32[4] dot(%copy.2, %loop), {_scopes('gradient/forward/projector')}
  %unused = f32[4] copy(%dot.3)
  ROOT %tuple = f32[4] add(%dot.3), {_scopes('update/add')}
}}
"""


@pytest.mark.parametrize(
  ('scopes', 'part'),
  [
    ('augment/while/body/mul', 'cutting views'),
    ('gradient/jvp(augment)/mul', 'colors and blur'),
    ('gradient/transpose(jvp(forward))/tiny_res_net/conv', 'encoder'),
    ('gradient/jvp(target)/res_net/dot', 'encoder'),
    ('gradient/jvp(target)/projector/linear/dot', 'heads'),
    ('gradient/while/body/forward/classifier/dot', 'heads'),
    ('gradient/jvp(loss)/top_k', 'queue, votes, sampling, losses'),
    ('update/mul', 'optimizer and average'),
    ('average/mul', 'optimizer and average'),
    ('gradient/add', 'rest'),
    ('metrics/is_finite', 'rest'),
    ('state.params', 'rest'),
  ],
)
def test_parts_by_scope(scopes, part):
  assert breakdown.part_of(f'jit(train)/{scopes}') == part


def test_instructions_have_their_own_part_or_that_of_their_user():
  assert breakdown.instruction_parts(HLO) == {
    'inner': 'colors and blur',
    'p': 'heads',
    'copy.1': 'heads',
    'copy.2': 'heads',
    'dot.3': 'heads',
    'unused': 'rest',
    'tuple': 'optimizer and average',
  }


def test_time_is_divided_where_events_overlap():
  events = [(0, 10, 'a'), (4, 6, 'b'), (4, 6, 'b'), (20, 23, 'b'), (6, 6, 'c')]
  times = breakdown.divide_time(events)
  # From 4 to 6 three events share two units of time.
  assert times['a'] == pytest.approx(8 + 2 / 3)
  assert times['b'] == pytest.approx(4 / 3 + 3)
  assert sum(times.values()) == pytest.approx(13)


def test_shares_add_up_to_the_step():
  busy = {'encoder': 6.0, 'rest': 1.0, 'heads': 1.0}
  parts = breakdown.shares(busy, seconds=10.0, step_ms=50.0)
  assert {name: part.ms for name, part in parts.items()} == pytest.approx(
    {'heads': 5.0, 'encoder': 30.0, 'rest': 15.0}
  )
  assert breakdown.table(parts).splitlines()[1].split() == [
    *('heads', '5.00', '10.0%', 'gradient/forward'),
    *('and', 'target,', 'modules', 'of', 'heads'),
  ]


def _plane(name, events):
  """Text of a plane with events of one line: name, start and duration in ns."""
  kinds = ''.join(
    f'event_metadata {{ key: {n} value {{ id: {n} name: "{event[0]}" }} }}'
    for n, event in enumerate(events, 1)
  )
  times = ''.join(
    f'events {{ metadata_id: {n} offset_ps: {event[1] * 1000}'
    f' duration_ps: {event[2] * 1000} }}'
    for n, event in enumerate(events, 1)
  )
  return f'planes {{ name: "{name}" {kinds} lines {{ name: "ops" {times} }} }}'


def test_devices_count_before_the_host_and_on_average():
  text = ''.join(
    [
      _plane('/host:CPU', [('dot.3', 0, 900)]),
      _plane('/device:TPU:0', [('%dot.3 = f32[4] dot(x)', 0, 100)]),
      _plane('/device:TPU:1', [('tuple', 0, 60), ('jit_train(1)', 0, 500)]),
    ]
  )
  space = jax.profiler.ProfileData.text_proto_to_serialized_xspace(text)
  data = jax.profiler.ProfileData.from_serialized_xspace(space)
  busy = breakdown._busy_seconds(data, breakdown.instruction_parts(HLO))
  assert busy == pytest.approx({'heads': 50e-9, 'optimizer and average': 30e-9})
