"""Times of a run, and the bench."""

import json

import pytest

from tests.helpers import fake_runs, report_page


def test_a_bench_is_compared_with(tmp_path):
  path = fake_runs.write(tmp_path / 'run')
  (path / 'bench.json').write_text(json.dumps({'images_per_second': 1000.0}))
  page, _ = report_page.make(path)
  assert '92 % of the 1,000 images/s of the bench' in page.text
  assert 'Against the bench' in page.text


def test_training_is_counted_without_waiting(tmp_path):
  _, data = report_page.make(fake_runs.write(tmp_path / 'run'))
  spent = data['figures']['time']['What the time was spent on']['run']
  assert spent == {
    'compile': 5.0, 'training': 89.1, 'evaluation': 4.0,
    'waiting for input': 0.9,
  }  # fmt: skip


def test_records_of_waiting_weigh_by_their_time(tmp_path):
  path = fake_runs.write(tmp_path / 'run')
  (path / 'metrics.jsonl').write_text(
    '{"step": 1, "images_per_second": 1000, "input_wait": 0.0}\n'
    '{"step": 2, "images_per_second": 10, "input_wait": 0.9}\n'
  )
  _, data = report_page.make(path)
  spent = data['figures']['time']['What the time was spent on']['run']
  # 0.001 and 0.1 seconds an image: 0.09 of 0.101 are waiting.
  assert spent['waiting for input'] == pytest.approx(90 * 0.09 / 0.101, 1e-3)
