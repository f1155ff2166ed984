"""What a run has written, whatever is missing of it or damaged."""

import json

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from semppl_jax.report import run_record as run_record_lib
from tests.helpers import fake_runs


def _read(path):
  (course,) = run_record_lib.read_all([path])
  return course


def test_everything_of_a_run_is_read(tmp_path):
  course = _read(fake_runs.write(tmp_path / 'run', records=20))
  assert course.name == 'run'
  assert (course.step, course.total_steps) == (1000, 2000)
  assert course.batch_size == 64
  assert course.class_names == ('class_0', 'class_1', 'class_2')
  assert course.fields == fake_runs.plain_fields()
  assert course.config is not None
  assert course.config.semppl.k == 10
  np.testing.assert_array_equal(
    course.metrics[fake_runs.EVALUATED].step, [500, 1000]
  )
  assert len(course.guesses) == 20
  assert course.summary is None and not course.problems


def test_a_directory_that_is_no_run_is_one_sentence(tmp_path):
  with pytest.raises(
    run_record_lib.CourseError, match=r'is no run: a run has one'
  ):
    _read(tmp_path)
  with pytest.raises(run_record_lib.CourseError, match=r'gone is not there'):
    _read(tmp_path / 'gone')


@pytest.mark.parametrize(
  'file',
  ['config.json', 'run.json', 'metrics.jsonl', 'pseudo_labels.jsonl',
   'timing.jsonl'],
)  # fmt: skip
def test_a_file_less_is_no_problem(tmp_path, file):
  path = fake_runs.write(tmp_path / 'run')
  (path / file).unlink()
  assert not _read(path).problems


@pytest.mark.parametrize(
  'file',
  ['config.json', 'summary.json', 'run.json', 'metrics.jsonl',
   'pseudo_labels.jsonl', 'timing.jsonl'],
)  # fmt: skip
def test_a_file_cut_short_is_said(tmp_path, file):
  path = fake_runs.write(tmp_path / 'run', finished=True)
  content = (path / file).read_bytes()
  (path / file).write_bytes(content[: 2 * len(content) // 3 - 4])
  (problem,) = _read(path).problems
  assert file in problem


def test_of_a_step_recorded_twice_the_later_line_counts(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text(
    '{"step": 2, "a": 1.0}\n{"step": 1, "a": 5.0}\n{"step": 2, "a": 3.0}\n'
  )
  series = _read(tmp_path).metrics['a']
  assert series.step.tolist() == [1, 2]
  assert series.value.tolist() == [5.0, 3.0]
  assert series.last == 3.0
  assert series.recent(1.0) == 4.0


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
def test_names_are_apart_and_ends_of_the_paths(paths):
  names = run_record_lib.distinct(paths)
  assert len(set(names)) == len(names) == len(paths)
  if len(set(paths)) == len(paths):
    for path, name in zip(paths, names, strict=True):
      assert path.endswith(name)
