"""Named scopes in the trace of a CPU.

XProf shows the named scopes of GPUs and TPUs by itself. For a CPU it has the
compiled operations alone, and the compiled program, in which each operation has
the `op_name` that it was written under. From both, a track of scopes is added
below each thread, in the file that XProf reads and in that of Perfetto.
"""

from collections.abc import Iterable, Iterator, Mapping
import gzip
import json
import os
import pathlib
import re
from typing import NamedTuple, TYPE_CHECKING

from semppl_jax.runtime.files import atomic_write

if TYPE_CHECKING:
  from tensorflow.tsl.profiler.protobuf import xplane_pb2

# Of the train step.
SCOPES = (
  *('gradient', 'augment', 'forward', 'target', 'loss'),
  *('update', 'average', 'metrics'),
)
_HOST, _METADATA = '/host:CPU', '/host:metadata'
_TRACK = 'named scopes'
# Longer pauses of a thread are shown, in microseconds.
_PAUSE_US, _PS_PER_US = 100.0, 1e6


class Span(NamedTuple):
  """Time of a scope on a thread, in microseconds."""

  start: float
  end: float
  scope: str


def scope_of(op_name: str) -> str:
  """Returns the scope of a path such as `jit(train)/gradient/jvp(loss)/mul`.

  A backward pass, which is a transposed forward pass, is called `loss grad`.
  """
  parts = re.findall(r'\w+', op_name)
  scope = next((name for name in reversed(parts) if name in SCOPES), '')
  return scope and scope + (' grad' if 'transpose' in parts else '')


def merge(spans: Iterable[Span]) -> list[Span]:
  """Joins spans of one scope that follow each other; drops nested spans."""
  merged: list[Span] = []
  for span in sorted(spans):
    last = merged[-1] if merged else None
    if last and span.end <= last.end:
      continue
    near = last and span.start - last.end < _PAUSE_US
    if last and near and last.scope == span.scope:
      merged[-1] = last._replace(end=span.end)
    else:
      merged.append(span)
  return merged


def add_tracks(directory: str | os.PathLike[str]) -> None:
  """Adds the tracks to all traces below a directory, in place.

  Without TensorFlow, which has the formats, it adds none.
  """
  try:
    from semppl_jax.data.tf import runtime

    del runtime  # Imported first, as it keeps TensorFlow quiet.
    from tensorflow.tsl.profiler.protobuf import xplane_pb2
  except ImportError:
    return
  for path in pathlib.Path(directory).rglob('*.xplane.pb'):
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    scopes = _scopes(space)
    for plane in space.planes:
      if plane.name == _HOST:
        _add_lines(plane, scopes)
    with atomic_write(path) as temporary:
      temporary.write_bytes(space.SerializeToString())
    events = path.with_name(path.name.replace('.xplane.pb', '.trace.json.gz'))
    if events.exists():
      trace = json.loads(gzip.decompress(events.read_bytes()))
      trace['traceEvents'] += _trace_events(trace['traceEvents'], scopes)
      with atomic_write(events) as temporary:
        text = json.dumps(trace, separators=(',', ':'))
        temporary.write_bytes(gzip.compress(text.encode()))


def _scopes(space: 'xplane_pb2.XSpace') -> dict[tuple[str, str], str]:
  """Returns the scope of each operation, by module and operation."""
  from tensorflow.compiler.xla.service import hlo_pb2

  scopes = {}
  for plane in space.planes:
    if plane.name != _METADATA:
      continue
    for stat in (s for m in plane.event_metadata.values() for s in m.stats):
      if plane.stat_metadata[stat.metadata_id].name != 'Hlo Proto':
        continue
      module = hlo_pb2.HloProto.FromString(stat.bytes_value).hlo_module
      for computation in module.computations:
        for op in computation.instructions:
          # Copies and the like, which the compiler inserted, have none.
          if scope := scope_of(op.metadata.op_name):
            scopes[module.name, op.name] = scope
  return scopes


def _add_lines(
  plane: 'xplane_pb2.XPlane', scopes: Mapping[tuple[str, str], str]
) -> None:
  ids = {m.name: m.id for m in plane.stat_metadata.values()}
  names: dict[str, int] = {}
  for line in [*plane.lines]:
    merged = merge(_spans(plane, line, ids, scopes))
    if not merged:
      continue
    track = plane.lines.add(
      id=max(x.id for x in plane.lines) + 1,
      name=f'{_TRACK} of {line.name}',
      timestamp_ns=line.timestamp_ns,
      duration_ps=line.duration_ps,
    )
    for start, end, scope in merged:
      if scope not in names:
        names[scope] = max(plane.event_metadata, default=0) + 1
        plane.event_metadata[names[scope]].id = names[scope]
        plane.event_metadata[names[scope]].name = scope
      track.events.add(
        metadata_id=names[scope],
        offset_ps=int(start * _PS_PER_US),
        duration_ps=int((end - start) * _PS_PER_US),
      )


def _spans(
  plane: 'xplane_pb2.XPlane',
  line: 'xplane_pb2.XLine',
  ids: Mapping[str, int],
  scopes: Mapping[tuple[str, str], str],
) -> Iterator[Span]:
  for event in line.events:
    text = {
      stat.metadata_id: plane.stat_metadata[stat.ref_value].name
      for stat in event.stats
    }
    key = tuple(text.get(ids.get(x, -1), '') for x in ('hlo_module', 'hlo_op'))
    if scope := scopes.get(key):
      start = event.offset_ps / _PS_PER_US
      yield Span(start, start + event.duration_ps / _PS_PER_US, scope)


def _trace_events(
  events: list[dict], scopes: Mapping[tuple[str, str], str]
) -> list[dict]:
  """Returns the events of the tracks, for Perfetto."""
  threads: dict[tuple, list[Span]] = {}
  names = {}
  for event in events:
    thread, args = (event.get('pid'), event.get('tid')), event.get('args', {})
    if event.get('name') == 'thread_name':
      names[thread] = args['name']
    scope = scopes.get((args.get('hlo_module'), args.get('hlo_op')))
    if scope and event.get('ph') == 'X':
      span = Span(event['ts'], event['ts'] + event['dur'], scope)
      threads.setdefault(thread, []).append(span)
  added = []
  for number, ((pid, tid), spans) in enumerate(threads.items(), 1):
    name = f'{_TRACK} of {names.get((pid, tid), tid)}'
    track = {'pid': pid, 'tid': number}
    added.append(
      {'ph': 'M', 'name': 'thread_name', 'args': {'name': name}} | track
    )
    for start, end, scope in merge(spans):
      times = {'ph': 'X', 'ts': start, 'dur': end - start}
      added.append({'name': scope} | times | track)
  return added
