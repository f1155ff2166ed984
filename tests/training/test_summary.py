"""The summary of a run: its text, its pace, and the record of its starts."""

import json

import pytest

from semppl_jax.training import summary


class _Writer:
  def __init__(self, **history):
    self.history = {
      name: [*enumerate(values)] for name, values in history.items()
    }


def _result(**changes):
  result = {
    'knn': {
      'knn/encoder/labelled/k5': 0.464,
      'knn/encoder/train/k5': 0.5,
      'knn/pixels/labelled/k5': 0.3,
    },
    'knn_k': 5,
    'classes': 10,
    'labelled_images': 600,
    'train_images_with_label': 6000,
    'test_images': 2000,
    'classifiers': {'probe': 0.468},
    'pseudo_label_accuracy': 0.378,
    'pseudo_label_coverage': 1.0,
    'workdir': 'runs/x',
  }
  return result | changes


def test_text_has_every_figure():
  lines = summary.describe(_result()).split('\n')
  assert lines[0] == ('k-NN top-1 on 2,000 test images, k = 5 (chance 10%):')
  cells = [line.split() for line in lines]
  assert cells[2] == ['raw', 'pixels', '30.0%', '-']
  assert cells[3] == ['trained', 'encoder', '46.4%', '50.0%']
  assert lines[4] == ('Online linear probe: accuracy 46.8% on the test images.')
  assert lines[5] == (
    'Pseudo-labels: accuracy 37.8%; coverage 100% of the unlabelled images.'
  )


def test_text_without_a_test_set_or_true_labels():
  text = summary.describe(
    _result(knn={}, test_images=0, classifiers={}, pseudo_label_accuracy=None)
  )
  assert 'No test set was given' in text
  assert 'accuracy unknown, as no unlabelled image has a true label' in text


def test_pace_is_over_the_whole_time():
  """100 images at 100/s and 100 at 50/s are 200 images in 3 seconds."""
  pace = summary._pace(
    _Writer(images_per_second=[100.0, 50.0], input_wait=[0.0, 0.6])
  )
  assert pace['images_per_second'] == pytest.approx(200 / 3)
  assert pace['input_wait'] == pytest.approx(0.6 * 2 / 3)
  assert set(summary._pace(_Writer()).values()) == {None}


@pytest.mark.parametrize('content', ['{', '[]', '{"starts": 1}'])
def test_a_damaged_record_has_no_earlier_starts(tmp_path, content):
  (tmp_path / summary.RUN_FILE).write_text(content)
  found = summary._earlier_starts(tmp_path, 3)
  assert found in ([], 1)


def test_earlier_starts_are_kept_where_a_run_continues(tmp_path):
  starts = [{'step': 0}, {'step': 4}]
  (tmp_path / summary.RUN_FILE).write_text(json.dumps({'starts': starts}))
  assert summary._earlier_starts(tmp_path, 8) == starts
  assert summary._earlier_starts(tmp_path, 0) == []
