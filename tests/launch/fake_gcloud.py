"""A simulated Cloud TPU: the part of `gcloud` that launch/tpu_vm.sh uses.

The slice is the folder $FAKE/vm, in which the commands of its hosts run. It is
preempted at the steps of the trainer that $FAKE/preempt_at lists.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys

FAKE = pathlib.Path(os.environ['FAKE'])
VM, BUCKET = FAKE / 'vm', FAKE / 'bucket'


def note(name: str) -> int:
  """Counts an event and returns its number."""
  path = FAKE / f'count_{name}'
  count = int(path.read_text()) + 1 if path.exists() else 1
  path.write_text(str(count))
  return count


def listed(name: str) -> list[str]:
  path = FAKE / name
  return path.read_text().split() if path.exists() else []


def take_away(state: str) -> None:
  """Preempts the slice: kills its process and removes its files."""
  pid = FAKE / 'pid'
  if pid.exists():
    with contextlib.suppress(ProcessLookupError):
      os.kill(int(pid.read_text()), signal.SIGKILL)
  # Renamed, since killed processes may still write to it.
  VM.rename(FAKE / f'gone_{note("gone")}')
  VM.mkdir()
  (FAKE / 'state').write_text(state)


def ssh(command: str) -> int:
  if state() != 'READY':
    return 255
  waits = listed('preempt_at')
  if 'status=' in command and waits and listed('bucket/step') == waits[:1]:
    (FAKE / 'preempt_at').write_text(' '.join(waits[1:]))
    take_away('PREEMPTED')
    return 255
  environment = os.environ | {'HOME': str(VM)}
  return subprocess.run(
    ['bash', '-c', command], cwd=VM, env=environment, check=False
  ).returncode


def state() -> str:
  path = FAKE / 'state'
  return path.read_text() if path.exists() else ''


def create() -> int:
  if str(note('create')) in listed('no_capacity_at'):
    print('There is no more capacity in the zone.', file=sys.stderr)
    return 1
  if state():
    print('It exists already.', file=sys.stderr)
    return 1
  VM.mkdir()
  (FAKE / 'state').write_text('READY')
  return 0


def delete() -> int:
  if not state():
    return 1
  take_away('')
  VM.rmdir()
  (FAKE / 'state').unlink()
  return 0


def describe(kind: str) -> int:
  if not state():
    return 1
  if kind == 'queued-resources':
    waits = listed('queue_says')
    count = note('queue')
    print(waits[count - 1] if count <= len(waits) else 'ACTIVE')
  else:
    print(state())
  return 0


def main(words: list[str]) -> int:
  with (FAKE / 'calls').open('a') as calls:
    calls.write(' '.join(words) + '\n')
  if words[:2] == ['storage', 'rsync']:
    shutil.copytree(BUCKET, words[-1], dirs_exist_ok=True)
    return 0
  kind, verb, rest = words[2], words[3], words[4:]
  if '--zone=here' not in rest:
    return 1
  if verb == 'scp':
    shutil.copy(rest[0], VM / rest[1].partition(':')[2])
    return 0
  if verb == 'ssh':
    command = next(w for w in rest if w.startswith('--command='))
    return ssh(command.partition('=')[2])
  if verb == 'describe':
    return describe(kind)
  return {'create': create, 'delete': delete}[verb]()


sys.exit(main(sys.argv[1:]))
