"""The collectives of a compiled program, on hand-written text."""

import pytest

from semppl_jax.tools.compile import hlo_collectives

RING = 'channel_id=1, replica_groups={{0,1,2,3,4,5,6,7}}'


def _module(*lines, before=''):
  body = '\n'.join(f'  {line}' for line in lines)
  return f"""HloModule jit_train, is_scheduled=true

{before}
ENTRY %main (p0: f32[4,8]) -> f32[4,8] {{
  %p0 = f32[4,8]{{1,0:T(4,128)}} parameter(0)
  %h = bf16[16,2]{{1,0:T(8,128)(2,1)}} convert(%p0)
{body}
}}
"""


def _count(*lines, before=''):
  return hlo_collectives.count(_module(*lines, before=before)).bytes


@pytest.mark.parametrize(
  ('line', 'kind', 'size'),
  [
    (
      f'%r = f32[4,8]{{1,0:T(4,128)}} all-reduce(%p0), {RING}, to_apply=%add',
      'all-reduce',
      128,
    ),
    # Results are larger than operands: what a device ends with.
    (
      f'ROOT %r = f32[32,8]{{1,0}} all-gather(%p0), {RING}, dimensions={{0}}',
      'all-gather',
      1024,
    ),
    # Operands are larger: what a device starts with.
    (
      f'%r = bf16[2,2]{{1,0}} reduce-scatter(%h), {RING}, to_apply=%add',
      'reduce-scatter',
      64,
    ),
    (
      f'%r = f32[4,8]{{1,0:T(4,128)S(1)}} all-to-all(%p0), {RING}',
      'all-to-all',
      128,
    ),
    (
      '%r = f32[4,8]{1,0} collective-permute(f32[4,8]{1,0} %p0),'
      ' source_target_pairs={{0,1},{1,0}}',
      'collective-permute',
      128,
    ),
    # One for several arrays, as the compiler combines them.
    (
      '%r = (f32[4,8]{1,0:T(4,128)}, /*index=1*/bf16[16,2]{1,0:T(8,128)(2,1)})'
      f' all-reduce(%p0, /*index=1*/%h), {RING}, to_apply=%add',
      'all-reduce',
      128 + 64,
    ),
  ],
)
def test_bytes_are_the_larger_of_operands_and_results(line, kind, size):
  assert _count(line) == {kind: size}


def test_scalars_flags_and_small_types_have_their_size():
  line = (
    '%r = (f32[], pred[3], s4[5], f8e4m3fn[7]) all-reduce(%a, %b, %c, %d),'
    ' to_apply=%add'
  )
  assert _count(line) == {'all-reduce': 4 + 3 + 3 + 7}


def test_a_start_counts_without_its_done():
  assert _count(
    '%s = (f32[4,8]{1,0}, f32[32,8]{1,0}) all-gather-start(%p0),'
    ' dimensions={0}',
    '%d = f32[32,8]{1,0} all-gather-done(%s)',
    '%rs = f32[4,8]{1,0} all-reduce-start(%p0), to_apply=%add',
    '%rd = f32[4,8]{1,0} all-reduce-done(%rs)',
    '%c = (f32[4,8]{1,0}, f32[4,8]{1,0}, u32[]{:S(2)}, u32[]{:S(2)})'
    ' collective-permute-start(%p0), source_target_pairs={{0,1}}',
    '%e = f32[4,8]{1,0} collective-permute-done(%c)',
  ) == {'all-gather': 1024, 'all-reduce': 128, 'collective-permute': 128}


def test_a_gather_of_several_arrays_counts_all_its_results():
  assert _count(
    '%s = ((f32[4,8]{1,0}, bf16[16,2]{1,0}), (f32[32,8]{1,0},'
    ' bf16[128,2]{1,0})) all-gather-start(%p0, %h), dimensions={0}',
  ) == {'all-gather': 1024 + 512}


def test_a_wrapped_collective_counts_once():
  wrapped = f"""%wrapped (param: f32[4,8]) -> f32[4,8] {{
  %param = f32[4,8]{{1,0}} parameter(0)
  ROOT %a = f32[4,8]{{1,0}} all-to-all(%param), {RING}
}}
"""
  assert _count(
    '%s = ((f32[4,8]), f32[4,8], u32[]) async-start(%p0), calls=%wrapped',
    '%u = ((f32[4,8]), f32[4,8], u32[]) async-update(%s), calls=%wrapped',
    '%d = f32[4,8] async-done(%u), calls=%wrapped',
    before=wrapped,
  ) == {'all-to-all': 128}


def _loop(compare='compare(%i, %n), direction=LT', limit='constant(14)'):
  return f"""%body (b: (s32[], f32[4,8])) -> (s32[], f32[4,8]) {{
  %b = (s32[]{{:T(256)}}, f32[4,8]{{1,0}}) parameter(0)
  %x = f32[4,8]{{1,0}} get-tuple-element(%b), index=1
  %r = f32[4,8]{{1,0}} all-reduce(%x), {RING}, to_apply=%add
  ROOT %t = (s32[], f32[4,8]) tuple(%j, %r)
}}

%condition (c: (s32[], f32[4,8])) -> pred[] {{
  %n = s32[]{{:T(256)}} {limit}
  %c = (s32[]{{:T(256)}}, f32[4,8]{{1,0}}) parameter(0)
  %i = s32[]{{:T(256)}} get-tuple-element(%c), index=0
  ROOT %lt = pred[]{{:T(1024)}} {compare}
}}
"""


WHILE = (
  '%w = (s32[], f32[4,8]) while(%t), condition=%condition, body=%body'
  ', metadata={op_name="jit(train)/while all-reduce(x)"}'
)


def test_a_loop_counts_once_per_trip():
  found = hlo_collectives.count(_module(WHILE, before=_loop()))
  assert found == ({'all-reduce': 14 * 128}, {'all-reduce': 14}, 0)


def test_the_compilers_own_trip_count_comes_first():
  noted = ', backend_config={"known_trip_count":{"n":"3"}}'
  assert _count(WHILE + noted, before=_loop()) == {'all-reduce': 3 * 128}


def test_loops_multiply():
  outer = (
    _loop()
    .replace('%body', '%outer')
    .replace('%condition', '%outside')
    .replace('all-reduce(%x)', 'copy(%x)')
  )
  outer = outer.replace('  ROOT %t =', f'  {WHILE}\n  ROOT %t =')
  line = WHILE.replace('%body', '%outer').replace('%condition', '%outside')
  assert _count(line, before=_loop() + outer) == {'all-reduce': 14 * 14 * 128}


@pytest.mark.parametrize(
  'loop',
  [
    _loop(compare='compare(%i, %n), direction=NE'),
    _loop(compare='fusion(%i, %n), kind=kLoop, calls=%compare'),
    _loop(limit='get-tuple-element(%c), index=2'),
  ],
)
def test_a_loop_of_unknown_length_counts_once_and_says_so(loop):
  found = hlo_collectives.count(_module(WHILE, before=loop))
  assert found == ({'all-reduce': 128}, {'all-reduce': 1}, 1)


def test_every_branch_counts():
  branches = ''.join(
    f"""%{name} (p: f32[4,8]) -> f32[4,8] {{
  %p = f32[4,8]{{1,0}} parameter(0)
  ROOT %r = f32[4,8]{{1,0}} all-reduce(%p), {RING}, to_apply=%add
}}

"""
    for name in ('one', 'two')
  )
  line = (
    '%c = f32[4,8] conditional(%i, %p0, %p0), branch_computations={%one, %two}'
  )
  assert _count(line, before=branches) == {'all-reduce': 256}


def test_names_and_comments_are_no_collectives():
  assert not _count(
    '%all-reduce.1 = f32[4,8]{1,0} add(%p0, %p0)',
    '%f = f32[4,8] fusion(%p0), calls=%fused,'
    ' metadata={op_name="jit(f)/ all-gather(x)"}',
  )
