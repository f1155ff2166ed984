"""Pseudo-labels on the page: with and without true labels, many classes."""

import json

import pytest

from tests.helpers import fake_runs, report_page


def test_before_the_first_pseudo_label(tmp_path):
  path = fake_runs.write(tmp_path / 'run', records=1, evaluated=False)
  line = json.loads((path / 'pseudo_labels.jsonl').read_text())
  line['label'] = [-1] * len(line['label'])
  (path / 'pseudo_labels.jsonl').write_text(json.dumps(line) + '\n')
  page, data = report_page.make(path)
  assert 'No recorded row has a pseudo-label yet.' in page.text
  assert list(data['figures']['pseudo']) == ['Pseudo-labels']


def test_without_true_labels(tmp_path):
  page, data = report_page.make(fake_runs.write(tmp_path / 'run', truth=False))
  assert '100 % of the unlabelled rows have a pseudo-label' in page.text
  assert 'Their accuracy is unknown' in page.text
  assert 'precision, recall and confusion are unknown' in page.text
  balance = data['figures']['pseudo'][
    'Class balance of the pseudo-labels over time'
  ]
  assert balance['reference'] == pytest.approx([1 / 3] * 3, abs=1e-4)
  assert 'Confusion matrix' not in data['figures']['pseudo']


def test_a_method_without_pseudo_labels(tmp_path):
  page, data = report_page.make(
    fake_runs.write(tmp_path / 'run', method='simclr')
  )
  assert 'No pseudo-labels: the method has none' in page.text
  assert 'pseudo' not in data['figures']


def test_many_classes(tmp_path):
  page, data = report_page.make(
    fake_runs.write(tmp_path / 'run', classes=20_000, rows=512)
  )
  pseudo = data['figures']['pseudo']
  assert 'Confusion matrix' not in pseudo
  assert 'Recall of the classes, worst to best' in pseudo
  balance = pseudo['Class balance of the pseudo-labels over time']
  assert len(balance['class']) == 24
  assert 'Classes of least recall' in page.text
