"""Atomic writes, run and output directories, files of JSON lines."""

import os
import types

from etils import epath
from etils.epath import backend
import pytest
import tensorflow as tf

from semppl_jax.runtime import files
from semppl_jax.runtime.errors import InputError
from semppl_jax.training import metric_writer, summary


class _Bucket:
  """`tf.io.gfile` whose gs:// is a folder."""

  def __init__(self, root):
    self._root = root

  def _here(self, x):
    is_path = isinstance(x, (str, os.PathLike))
    text = os.fspath(x) if is_path else ''
    if not text.startswith('gs://'):
      return x
    return str(self._root / text.removeprefix('gs://'))

  def __getattr__(self, name):
    do = getattr(tf.io.gfile, name)
    return lambda *args, **named: do(*map(self._here, args), **named)


@pytest.fixture
def bucket(tmp_path, monkeypatch):
  gfile = property(lambda _: _Bucket(tmp_path))
  monkeypatch.setattr(type(backend.tf_backend), 'gfile', gfile)
  monkeypatch.setattr(
    metric_writer,
    '_TensorBoard',
    lambda _: types.SimpleNamespace(
      write=lambda *_: None, flush=lambda: None, close=lambda: None
    ),
  )
  (tmp_path / 'bucket').mkdir()
  return tmp_path / 'bucket'


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path):
  file = tmp_path / 'a.json'
  files.write_text(file, 'old')
  with pytest.raises(KeyboardInterrupt), files.atomic_write(file) as temporary:
    temporary.write_text('half')
    assert temporary.parent == tmp_path
    raise KeyboardInterrupt
  assert file.read_text() == 'old'
  files.write_text(str(file), 'neu: \u00e4')
  assert file.read_text(encoding='utf-8') == 'neu: \u00e4'
  assert [*tmp_path.iterdir()] == [file]


def test_each_writer_has_a_temporary_file_of_its_own(tmp_path):
  file = tmp_path / 'a'
  with files.atomic_write(file) as first, files.atomic_write(file) as second:
    first.write_text('1')
    second.write_text('2')
  assert file.read_text() == '1'  # The outer block ends last.
  assert [*tmp_path.iterdir()] == [file]


def test_a_bucket_is_written_atomically(bucket):
  file = files.path('gs://bucket/a.txt')
  files.write_text(file, 'old')
  with pytest.raises(OSError), files.atomic_write(file) as temporary:
    temporary.write_text('half')
    raise OSError
  assert [(x.name, x.read_text()) for x in bucket.iterdir()] == [
    ('a.txt', 'old')
  ]


def test_a_folder_is_made_and_nothing_is_left_in_it(tmp_path):
  files.make_workdir(files.path(tmp_path / 'a' / 'b'))
  assert (tmp_path / 'a' / 'b').is_dir()
  assert not [*(tmp_path / 'a' / 'b').iterdir()]


def test_home_is_known(monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  assert str(files.path('~/runs')) == '/home/me/runs'
  assert str(files.path('gs://bucket/run')) == 'gs://bucket/run'


def test_what_cannot_be_written_is_one_sentence(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(files.WorkdirError) as caught:
    files.make_workdir(files.path(tmp_path / 'file' / 'run'))
  assert f'--workdir={tmp_path / "file" / "run"} cannot be' in str(caught.value)
  assert '\n' not in str(caught.value)


def test_a_bucket_that_cannot_be_written_is_one_sentence(bucket, monkeypatch):
  def refuse(*_):
    raise tf.errors.PermissionDeniedError(None, None, 'Forbidden\nat once')

  monkeypatch.setattr(_Bucket, 'GFile', refuse, raising=False)
  with pytest.raises(files.WorkdirError, match=r'gs://bucket/run .*Forbid'):
    files.make_workdir(files.path('gs://bucket/run'))


def test_records_and_summary_go_to_a_bucket(bucket):
  where = files.path('gs://bucket/run')
  files.make_workdir(where)
  for start in (0, 2):  # The second time it goes on after step 2.
    log = metric_writer.MetricWriter(where, start, 10)
    for step in range(start + 1, start + 4):
      log.scalars(step, {'loss/total': float(start)})
    log.close()
  lines = (bucket / 'run' / 'metrics.jsonl').read_text().splitlines()
  assert [line[:10] for line in lines] == [
    f'{{"step": {n}' for n in (1, 2, 3, 4, 5)
  ]
  assert lines[2].endswith('2.0}')
  assert summary.read(where) is None
  for steps in (1, 2):
    summary.write(where, {'steps': steps})
  assert summary.read(where) == {'steps': 2}
  assert sorted(x.name for x in (bucket / 'run').iterdir()) == [
    'metrics.jsonl', 'summary.json',
  ]  # fmt: skip


def test_an_output_that_cannot_be_written_is_one_sentence(tmp_path):
  (tmp_path / 'file').write_text('')
  inside = str(tmp_path / 'file' / 'made' / 'report.json')
  for make in (files.output_file, files.output_dir):
    with pytest.raises(InputError, match=r'--out=.* cannot be written: Not a'):
      make(inside)
    with pytest.raises(InputError, match=r'--out=.* is missing'):
      make(None)
  with pytest.raises(InputError, match='it is a folder'):
    files.output_file(str(tmp_path))


def test_folders_are_made_and_left_empty(tmp_path):
  made = files.output_file(str(tmp_path / 'a' / 'report.json'))
  assert made.parent.is_dir() and not [*made.parent.iterdir()]
  assert files.output_dir(str(tmp_path / 'b')).is_dir()


def test_damaged_lines_are_counted(tmp_path):
  path = epath.Path(tmp_path) / 'x.jsonl'
  path.write_bytes(
    b'{"step": 1}\nnot json\n{"no": 1}\n[1]\n{"step": 2.0}\n\xff\n{"step": 3'
  )
  lines, damaged = files.read_json_lines(path)
  assert [line['step'] for line in lines] == [1, 2]
  assert damaged == 5


def test_a_file_that_is_not_there_has_no_line(tmp_path):
  path = epath.Path(tmp_path) / 'x.jsonl'
  assert files.read_json_lines(path) == ([], 0)
  assert files.truncate_json_lines(path, 5) == []
  assert not path.exists()


def test_later_lines_are_cut(tmp_path):
  path = epath.Path(tmp_path) / 'x.jsonl'
  path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
  assert files.truncate_json_lines(path, 2) == [{'step': 1}, {'step': 2}]
  assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
