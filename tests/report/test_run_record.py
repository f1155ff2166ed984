"""Records of runs with missing or damaged files."""

import json

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from semppl_jax.report import run_record as run_record_lib
from tests.helpers import fake_runs


def _read(path):
  (run,) = run_record_lib.read_all([path])
  return run


def test_everything_of_a_run_is_read(tmp_path):
  run = _read(fake_runs.write(tmp_path / 'run', records=20))
  assert run.name == 'run'
  assert (run.step, run.metadata['total_steps']) == (1000, 2000)
  assert run.batch_size == 64
  assert run.class_names == ('class_0', 'class_1', 'class_2')
  assert run.flat_config == fake_runs.plain_fields()
  assert run.config is not None
  assert run.config.semppl.k == 10
  np.testing.assert_array_equal(
    run.metrics[fake_runs.EVALUATED].step, [500, 1000]
  )
  assert len(run.pseudo_labels) == 20
  assert run.summary is None and not run.problems


def test_another_directory_is_one_sentence(tmp_path):
  with pytest.raises(
    run_record_lib.RunRecordError,
    match=r'is not a run directory: name a --workdir',
  ):
    _read(tmp_path)
  with pytest.raises(
    run_record_lib.RunRecordError, match=r'gone was not found'
  ):
    _read(tmp_path / 'gone')


@pytest.mark.parametrize(
  'file',
  ['config.json', 'run.json', 'metrics.jsonl', 'pseudo_labels.jsonl',
   'timing.jsonl'],
)  # fmt: skip
def test_a_missing_file_is_no_problem(tmp_path, file):
  path = fake_runs.write(tmp_path / 'run')
  (path / file).unlink()
  assert not _read(path).problems


@pytest.mark.parametrize(
  'file',
  ['config.json', 'summary.json', 'run.json', 'metrics.jsonl',
   'pseudo_labels.jsonl', 'timing.jsonl'],
)  # fmt: skip
def test_a_file_cut_short_is_a_problem(tmp_path, file):
  path = fake_runs.write(tmp_path / 'run', finished=True)
  content = (path / file).read_bytes()
  (path / file).write_bytes(content[: 2 * len(content) // 3 - 4])
  (problem,) = _read(path).problems
  assert file in problem


def test_of_a_step_recorded_twice_the_later_line_counts(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text(
    '{"step": 2, "a": 1.0}\n{"step": 1, "a": 5.0}\n{"step": 2, "a": 3.0}\n'
  )
  run = _read(tmp_path)
  series = run.metrics['a']
  assert series.step.tolist() == [1, 2]
  assert series.value.tolist() == [5.0, 3.0]
  assert run.last('a') == run.recent('a') == 3.0


def test_an_evaluation_beside_a_run_is_found(tmp_path, monkeypatch):
  path = fake_runs.write(tmp_path / 'run')
  beside = tmp_path / 'run-evaluation'
  beside.mkdir()
  (beside / 'evaluation.json').write_text(json.dumps({'protocols': {}}))
  assert _read(path).evaluation == {'protocols': {}}
  monkeypatch.chdir(path)
  here = _read('.')
  assert (here.name, here.evaluation) == ('run', {'protocols': {}})


@hypothesis.given(
  st.lists(
    st.lists(st.sampled_from('abc'), min_size=1, max_size=4).map('/'.join),
    min_size=1,
    max_size=8,
  )
)
def test_names_are_unique_ends_of_the_paths(paths):
  names = run_record_lib.unique_names(paths)
  assert len(set(names)) == len(names) == len(paths)
  if len(set(paths)) == len(paths):
    for path, name in zip(paths, names, strict=True):
      assert path.endswith(name)
