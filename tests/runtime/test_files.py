"""Where a run goes: a folder or a bucket, and what cannot be written."""

import os
import types

from etils.epath import backend
import pytest
import tensorflow as tf

from semppl_jax.runtime import files
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


def test_a_folder_is_made_and_nothing_is_left_in_it(tmp_path):
  files.make(files.path(tmp_path / 'a' / 'b'))
  assert (tmp_path / 'a' / 'b').is_dir()
  assert not [*(tmp_path / 'a' / 'b').iterdir()]


def test_home_is_known(monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  assert str(files.path('~/runs')) == '/home/me/runs'
  assert str(files.path('gs://bucket/run')) == 'gs://bucket/run'


def test_what_cannot_be_written_is_one_sentence(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(files.WorkdirError) as caught:
    files.make(files.path(tmp_path / 'file' / 'run'))
  assert f'--workdir={tmp_path / "file" / "run"} cannot be' in str(caught.value)
  assert '\n' not in str(caught.value)


def test_a_bucket_that_cannot_be_written_is_one_sentence(bucket, monkeypatch):
  def refuse(*_):
    raise tf.errors.PermissionDeniedError(None, None, 'Forbidden\nat once')

  monkeypatch.setattr(_Bucket, 'GFile', refuse, raising=False)
  with pytest.raises(files.WorkdirError, match=r'gs://bucket/run .*Forbid'):
    files.make(files.path('gs://bucket/run'))


def test_records_and_summary_go_to_a_bucket(bucket):
  where = files.path('gs://bucket/run')
  files.make(where)
  for start in (0, 2):  # The second time it goes on after step 2.
    log = metric_writer.Logbook(where, start, 10)
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
