"""Statistics over seeds, and what is read of one run."""

import json

import pytest

from semppl_jax.tools.comparison import results
from semppl_jax.tools.comparison.aggregate import spread

# By hand: 0.975 quantiles of Student's t with 1 and 2 degrees of freedom.
T1, T2 = 12.706204736, 4.30265273


def test_one_figure_has_no_interval():
  assert spread([0.25]) == (0.25, None, (0.25,))


def test_the_interval_is_students():
  # Deviation 2**0.5, and of the mean 1.
  assert spread([0.0, 2.0]) == (1, pytest.approx(T1), (0, 2))
  # Deviation 1, and of the mean 3**-0.5.
  of_three = spread([3.0, 1.0, 2.0])
  assert of_three.mean == 2
  assert of_three.interval == pytest.approx(T2 / 3**0.5)
  assert of_three.values == (3, 1, 2)


def test_equal_figures_have_an_interval_of_0():
  assert spread([0.5] * 3).interval == 0


def test_figures_that_are_missing_are_left_out():
  assert spread([None, 0.5, None]) == (0.5, None, (0.5,))
  assert spread([None]) is None
  assert spread([]) is None


def _record(step, rate=None):
  line = {'step': step, 'loss/total': 1.0}
  return line if rate is None else line | {'images_per_second': rate}


def _scores(step, score):
  return {
    'step': step,
    'knn/encoder/labelled/k5': score,
    'knn/encoder/labelled/k1': 0.0,
    'probe/top1': 0.5,
    'best': score,
  }


# Ten steps of 32 images: 5 s at 64 images/s, 10 s at 32. The first ten, and
# after a restart the fourth, are not timed: 20 s for 960 images make 6.67 s.
RECORDS = [
  {'step': 0, 'memory/step_gib': 0.5},
  _record(10),
  _record(20, 64.0),
  _scores(25, 0.1),
  _record(30, 32.0),
  _record(40),
  _record(50, 64.0),
  _scores(50, 0.3),
]
MEAN = 20 / 3


def test_minutes_are_what_the_clock_says_and_else_the_mean_pace():
  minutes = results.minutes_at(RECORDS, 32, [0, 10, 20, 25, 30, 40, 50])
  seconds = [
    0, MEAN, MEAN + 5, MEAN + 10, MEAN + 15, 2 * MEAN + 15, 2 * MEAN + 20
  ]  # fmt: skip
  assert [60 * x for x in minutes] == pytest.approx(seconds)


def test_a_run_without_a_reading_has_no_minutes():
  assert results.minutes_at([_record(4)], 32, [2, 4]) == [None, None]
  assert results.minutes_at([], 32, [4]) == [None]


def _summary(**fields):
  return {
    'steps': 50,
    'images_seen': 1600,
    'knn_k': 5,
    'knn': {
      'knn/encoder/labelled/k5': 0.3,
      'knn/encoder/labelled/k1': 0.9,
      'knn/encoder/train/k5': 0.4,
      'knn/projection/labelled/k5': 0.35,
    },
    'classifiers': {'probe': 0.5},
    'images_per_second': 50.0,
    'input_wait': 0.1,
    'step_memory_gib': 0.5,
    'workdir': '/home/somebody/run',
  } | fields


@pytest.fixture
def workdir(tmp_path):
  lines = ''.join(json.dumps(line) + '\n' for line in RECORDS)
  (tmp_path / 'metrics.jsonl').write_text(lines)
  return tmp_path


def test_the_figures_of_a_run(workdir):
  found = results.read(workdir, _summary())
  assert found['figures'] == {
    'knn_labelled': 0.3,
    'knn_all': 0.4,
    'projection_labelled': 0.35,
    'projection_all': None,
    'probe': 0.5,
    'classifier': None,
    'images_per_second': 50.0,
    'input_wait': 0.1,
    'step_memory_gib': 0.5,
    'minutes': pytest.approx((2 * MEAN + 20) / 60),
  }
  assert found['floors'] == {}
  assert 'workdir' not in found['summary']
  json.dumps(found)


def test_the_curve_of_a_run(workdir):
  early, late = results.read(workdir, _summary())['curve']
  assert (early['step'], early['images']) == (25, 800)
  assert early['minutes'] == pytest.approx((MEAN + 10) / 60)
  assert early['scores']['knn/encoder/labelled/k5'] == 0.1
  assert early['scores']['probe/top1'] == 0.5
  assert (late['step'], late['images']) == (50, 1600)
  assert late['scores']['knn/encoder/labelled/k5'] == 0.3


def test_the_baselines_of_a_run(workdir):
  knn = _summary()['knn'] | {
    'knn/pixels/labelled/k5': 0.15,
    'knn/pixels/train/k5': 0.25,
    'knn/untrained/labelled/k5': 0.16,
    'knn/untrained/labelled/k1': 0.99,
  }
  assert results.read(workdir, _summary(knn=knn))['floors'] == {
    'raw pixels': {'knn_labelled': 0.15, 'knn_all': 0.25},
    'untrained encoder': {'knn_labelled': 0.16, 'knn_all': None},
  }


def test_records_on_another_disk_leave_the_summary(tmp_path):
  found = results.read(tmp_path, _summary())
  assert found['curve'] == []
  assert found['figures']['knn_labelled'] == 0.3
  assert found['figures']['minutes'] is None
