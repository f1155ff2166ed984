"""Pseudo-labels on record: those of unlabelled rows, with who voted."""

import json

import numpy as np

from semppl_jax.training.pseudo_label_log import FILE, PseudoLabelLog


def _rows(given, **more):
  n = len(given)
  return {
    'index': np.arange(100, 100 + n, dtype=np.int32),
    'given': np.asarray(given, np.int32),
    'label': np.arange(n, dtype=np.int32),
    'true': np.arange(n, dtype=np.int32)[::-1].copy(),
    'share': np.full(n, 1 / 3, np.float32),
  } | more


def _lines(path):
  return [json.loads(line) for line in (path / FILE).open()]


def test_rows_with_a_label_stay_out(tmp_path):
  log = PseudoLabelLog(tmp_path, 0)
  log.write(7, _rows([-1, 2, -1]))
  log.close()
  assert _lines(tmp_path) == [
    {
      'step': 7,
      'index': [100, 102],
      'label': [0, 2],
      'true': [2, 0],
      'share': [0.333, 0.333],
    }
  ]


def test_voters_are_counted_and_empty_slots_left_out(tmp_path):
  log = PseudoLabelLog(tmp_path, 0)
  voter = np.array([[5, 9, 9, -1], [1, 1, 1, 1]], np.int32)
  positive = np.array([[3, 3, 4], [-1, -1, -1]], np.int32)
  log.write(1, _rows([-1, -1], voter=voter, positive=positive))
  log.close()
  (line,) = _lines(tmp_path)
  assert line['voters'] == [[[9, 2], [5, 1]], [[1, 4]]]
  assert line['positives'] == [[3, 4], []]


def test_a_record_is_bounded(tmp_path):
  log = PseudoLabelLog(tmp_path, 0)
  many = 4096
  log.write(1, _rows([-1] * many, voter=np.zeros((many, 2), np.int32)))
  log.close()
  (line,) = _lines(tmp_path)
  assert len(line['index']) == 512
  assert len(line['voters']) == 8


def test_a_resume_drops_later_lines_and_a_method_without_any_makes_no_file(
  tmp_path,
):
  log = PseudoLabelLog(tmp_path, 0)
  log.close()
  assert not (tmp_path / FILE).exists()
  log = PseudoLabelLog(tmp_path, 0)
  for step in (1, 2, 3):
    log.write(step, _rows([-1]))
  log.close()
  PseudoLabelLog(tmp_path, 2).close()
  assert [line['step'] for line in _lines(tmp_path)] == [1, 2]
