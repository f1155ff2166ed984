"""Accuracy of runs in words and curves, and their baselines."""

import json

from tests.helpers import fake_runs, report_page

ASK = 'training on the labels only is unknown'


def test_a_run_in_progress(tmp_path):
  page, data = report_page.make(fake_runs.write(tmp_path / 'run'))
  assert 'at step 2,000 of 4,000 (50%)' in page.text
  assert (
    'k-NN accuracy 40.0 ± 1.1 % on 2,000 test images (chance 33 %)' in page.text
  )
  accuracy = data['figures']['learning']['Test accuracy']
  (curve,) = accuracy['curves'].values()
  assert curve == {'x': [500, 1000, 1500, 2000], 'y': [25, 30, 35, 40]}
  assert len(data['figures']['pseudo']['Confusion matrix']['class']) == 3
  assert data['runs']['run']['config']['semppl.k'] == 10
  assert '"1024 rows"' in page.text


def test_a_finished_run_is_compared_with_its_baselines(tmp_path):
  path = fake_runs.write(tmp_path / 'run', finished=True)
  beside = tmp_path / 'run-evaluation'
  beside.mkdir()
  (beside / 'evaluation.json').write_text(
    json.dumps(
      {'protocols': {'knn': {'baseline': {'knn/labelled/k20/top1': 0.45}}}}
    )
  )
  page, data = report_page.make(path)
  assert 'finished at step 2,000' in page.text
  for phrase in (
    '30.0 points above raw pixels',
    '25.0 points above the untrained encoder',
    '5.0 points below a network trained on the labels only',
  ):
    assert phrase in page.text
  assert data['figures']['learning']['Test accuracy']['levels'] == {
    'raw pixels': 10, 'untrained encoder': 15, 'labels only': 45,
  }  # fmt: skip


def test_a_supervised_run_is_the_baseline_of_another(tmp_path):
  ours = fake_runs.write(tmp_path / 'one')
  baseline = fake_runs.write(
    tmp_path / 'baseline', method='supervised', records=20
  )
  page, data = report_page.make(ours, baseline)
  assert '0.0 points above a network trained on the labels' in page.text
  assert ASK not in page.text
  title = 'Test accuracy: k-NN, labelled (k = 20)'
  assert data['figures']['learning'][title]['levels'] == {'labels only': 40}
  # With other labels it is not a baseline.
  facts = json.loads((baseline / 'run.json').read_text())
  (baseline / 'run.json').write_text(
    json.dumps(facts | {'label_subset': 'other'})
  )
  page, data = report_page.make(ours, baseline)
  assert 'trained on the labels only' not in page.text
  assert not data['figures']['learning'][title]['levels']


def test_a_classifier_is_not_compared_with_k_nn(tmp_path):
  path = fake_runs.write(tmp_path / 'run', method='supervised', finished=True)
  with (path / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 2000, "classifier/top1": 0.7}\n')
  page, _ = report_page.make(path)
  assert 'classifier accuracy 70.0 ± 1.0 % on 2,000 test images' in page.text
  assert 'points' not in page.text.split('Test accuracy')[0]
  assert ASK not in page.text


def test_an_older_run_takes_its_metadata_from_the_summary(tmp_path):
  path = fake_runs.write(tmp_path / 'run', finished=True)
  (path / 'run.json').unlink()
  summary = json.loads((path / 'summary.json').read_text())
  (path / 'summary.json').write_text(json.dumps(summary | {'test_images': 50}))
  page, _ = report_page.make(path)
  assert 'on 50 test images, 30.0 points above' in page.text
  (path / 'summary.json').unlink()
  page, _ = report_page.make(path)
  assert '% on the test images.' in page.text


def test_a_restarted_run_is_not_finished(tmp_path):
  path = fake_runs.write(tmp_path / 'run', finished=True)
  summary = json.loads((path / 'summary.json').read_text())
  (path / 'summary.json').write_text(json.dumps(summary | {'steps': 9000}))
  page, _ = report_page.make(path)
  assert 'at step 2,000 of 2,000' in page.text


def test_without_an_evaluation(tmp_path):
  page, data = report_page.make(
    fake_runs.write(tmp_path / 'run', evaluated=False)
  )
  assert "no evaluation yet (eval.every='1000 steps')" in page.text
  assert 'Test accuracy' not in data['figures']['learning']
  assert 'Loss' in data['figures']['learning']


def test_runs_of_unequal_batches_are_compared_by_images(tmp_path):
  one, two = (fake_runs.write(tmp_path / x, records=20) for x in 'ab')
  config = json.loads((two / 'config.json').read_text())
  config['batch_size'] = 128
  (two / 'config.json').write_text(json.dumps(config))
  page, data = report_page.make(one, two)
  title = 'Test accuracy: k-NN, labelled (k = 20)'
  curves = data['figures']['learning'][title]['curves']
  assert curves['a']['x'] == [32_000, 64_000]
  assert curves['b']['x'] == [64_000, 128_000]
  assert 'Images seen' in page.text
  assert 'batch_size' in page.text
