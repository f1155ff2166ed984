"""Rows that are compiled one by one: kept, resumed, over limits, failing."""

import json
import os
import pathlib
import signal

import pytest

from semppl_jax.runtime.errors import InputError
from semppl_jax.runtime.subprocesses import Finished, Limits
from semppl_jax.tools.compile import job_runner
from semppl_jax.tools.compile.topologies import Row

ROW = Row('configs/quickstart.py', 'v3:2x2')
OTHER = Row('configs/quickstart.py', 'v3:4x4', ('batch_size=32',))
VERSIONS = {'jax': '1', 'libtpu': '2'}
GOOD = Finished(0, None, 5.0, 0.5, '', '')


class _Runner:
  """Ends as it is told to, in turn, and writes a report where all is well."""

  def __init__(self, *ends):
    self.ends, self.commands = list(ends), []

  def __call__(self, command, limits):
    assert isinstance(limits, Limits)
    self.commands.append(command)
    end = self.ends.pop(0)
    # A step that does not fit has a report as well.
    if end.status in (0, 1) and not end.errors:
      out = next(x for x in command if x.startswith('--out='))
      report = {'fits': not end.status}
      pathlib.Path(out.removeprefix('--out=')).write_text(json.dumps(report))
    return end


def _place(tmp_path, minutes=30.0, gib=20.0, versions=VERSIONS):
  return job_runner.open_store(
    str(tmp_path / 'made'), Limits(minutes, gib), versions
  )


def _make(rows, place, *ends):
  runner = _Runner(*ends)
  records = dict(job_runner.compile_rows(rows, place, runner))
  assert not runner.ends, 'fewer were compiled'
  return records, runner.commands


def test_a_row_is_compiled_by_a_program_of_its_own(tmp_path):
  records, commands = _make([OTHER], _place(tmp_path), GOOD)
  command = commands[0]
  assert command[1:3] == ['-m', 'semppl_jax.tools.compile_check']
  assert '--config=configs/quickstart.py' in command
  assert '--topology=v3:4x4' in command and '--nooverhead' in command
  assert '--config.batch_size=32' in command
  record = records[OTHER]
  assert record['outcome'] == job_runner.COMPILED
  assert record['report'] == {'fits': True} and record['reason'] is None
  assert (record['seconds'], record['peak_gib']) == (5.0, 0.5)


def test_what_does_not_fit_is_made_as_well(tmp_path):
  records, _ = _make([ROW], _place(tmp_path), GOOD._replace(status=1))
  assert records[ROW]['outcome'] == job_runner.COMPILED
  assert records[ROW]['report'] == {'fits': False}


def test_rows_that_are_kept_are_not_compiled_again(tmp_path):
  first, _ = _make([ROW, OTHER], _place(tmp_path), GOOD, GOOD)
  assert len(list((tmp_path / 'made').glob('*.json'))) == 2
  again, commands = _make([ROW, OTHER], _place(tmp_path))
  assert again == first and not commands


@pytest.mark.parametrize(
  'changed',
  [
    ROW._replace(topology='v3:4x4'),
    ROW._replace(config='configs/simclr_quickstart.py'),
    ROW._replace(overrides=('network.width=2',)),
  ],
)
def test_another_row_is_compiled(tmp_path, changed):
  _make([ROW], _place(tmp_path), GOOD)
  _make([changed], _place(tmp_path), GOOD)


def test_fields_count_and_not_where_they_are_set(tmp_path):
  _make([ROW], _place(tmp_path), GOOD)
  _make([ROW._replace(overrides=('batch_size=64',))], _place(tmp_path))


def test_other_versions_compile_again(tmp_path):
  _make([ROW], _place(tmp_path), GOOD)
  newer = VERSIONS | {'libtpu': '3'}
  _make([ROW], _place(tmp_path, versions=newer), GOOD)


@pytest.mark.parametrize(
  ('broken', 'sentence'),
  [
    ('minutes', 'needs over 30 minutes to compile'),
    ('gib', 'needs over 20 GiB to compile'),
  ],
)
def test_a_row_over_a_limit_says_so_and_the_others_go_on(
  tmp_path, broken, sentence
):
  over = Finished(-9, broken, 1801.0, 20.5, '', 'anything')
  records, _ = _make([ROW, OTHER], _place(tmp_path), over, GOOD)
  assert records[ROW]['outcome'] == job_runner.OVER_LIMIT
  assert records[ROW]['reason'] == sentence and not records[ROW]['report']
  assert records[OTHER]['outcome'] == job_runner.COMPILED
  # Under the same limits it would come to the same; under a higher one, not.
  _make([ROW], _place(tmp_path))
  raised = {broken: 40}
  other = {'minutes': 'gib', 'gib': 'minutes'}[broken]
  _make([ROW], _place(tmp_path, **{other: 40}))
  _make([ROW], _place(tmp_path, **raised), GOOD)
  _make([ROW], _place(tmp_path))


@pytest.mark.parametrize(
  ('end', 'outcome', 'reason'),
  [
    (
      Finished(1, None, 1, 1, '', 'at\nValueError: that\n\n'),
      job_runner.FAILED,
      'ValueError: that',
    ),
    (
      Finished(2, None, 1, 1, '', 'semppl_jax: batch_size=1 is odd.\n'),
      job_runner.IMPOSSIBLE,
      'batch_size=1 is odd.',
    ),
  ],
)
def test_a_row_that_fails_says_why_and_is_tried_again(
  tmp_path, end, outcome, reason
):
  records, _ = _make([ROW, OTHER], _place(tmp_path), end, GOOD)
  assert (records[ROW]['outcome'], records[ROW]['reason']) == (outcome, reason)
  assert records[OTHER]['report'] == {'fits': True}
  _make([ROW, OTHER], _place(tmp_path), GOOD)


def test_a_stop_loses_the_row_under_way_alone(tmp_path):
  def killed(command, limits):
    os.kill(os.getpid(), signal.SIGTERM)

  before = signal.getsignal(signal.SIGTERM)
  _make([ROW], _place(tmp_path), GOOD)
  with pytest.raises(KeyboardInterrupt):
    dict(job_runner.compile_rows([ROW, OTHER], _place(tmp_path), killed))
  assert signal.getsignal(signal.SIGTERM) == before
  _make([ROW, OTHER], _place(tmp_path), GOOD)


@pytest.mark.parametrize('text', ['', '{"key": ', '[]', '{}'])
def test_a_damaged_file_is_made_again(tmp_path, text):
  _make([ROW], _place(tmp_path), GOOD)
  (file,) = (tmp_path / 'made').glob('*.json')
  file.write_text(text)
  _make([ROW], _place(tmp_path), GOOD)


@pytest.mark.parametrize(
  ('out', 'message'),
  [(None, '--out=DIR is missing'), ('file/folder', 'cannot be written: Not a')],
)
def test_a_folder_that_cannot_be_is_refused(
  tmp_path, monkeypatch, out, message
):
  monkeypatch.chdir(tmp_path)
  pathlib.Path('file').write_text('')
  with pytest.raises(InputError, match=message):
    job_runner.open_store(out, Limits(1, 1), VERSIONS)
