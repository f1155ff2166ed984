"""The page of runs of every kind, made of their files alone."""

import html.parser
import json
import math
import re

import pytest

from semppl_jax.report import build, run_record as run_record_lib
from tests.helpers import fake_runs

KEYS = (
  'learning', 'pseudo', 'sight', 'alike', 'space', 'time', 'particulars',
)  # fmt: skip
VOID = {'meta', 'link', 'img', 'br'}


class _Page(html.parser.HTMLParser):
  """Texts, tags and attributes of a page, whose tags must match."""

  def __init__(self, text):
    super().__init__()
    self.open, self.tags, self.texts = [], [], []
    self.feed(text)
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] not in ('style', 'script'):
      self.texts.append(data)

  @property
  def text(self):
    return ' '.join(' '.join(self.texts).split())

  @property
  def sections(self):
    return tuple(a['id'] for tag, a in self.tags if tag == 'section')


def _page(*paths):
  out = paths[0].parent / 'page.html'
  build.write(paths, out, pictures=False)
  content = out.read_text()
  assert len(content) < 10e6
  page = _Page(content)
  assert page.sections == KEYS
  # Nothing comes from elsewhere.
  links = [v for _, a in page.tags for k, v in a.items() if k in LINKS]
  assert all(v.startswith(('#', 'data:')) for v in links)
  assert not re.search(r'(url\(|@import)[^)]*//', content)
  data = re.search(
    r'<script type="application/json" id="data">(.*?)</script>', content, re.S
  )
  return page, json.loads(data[1])


LINKS = ('src', 'href', 'xlink:href', 'action')


def test_a_run_in_progress(tmp_path):
  page, data = _page(fake_runs.write(tmp_path / 'run'))
  assert 'at step 2,000 of 4,000 (50%)' in page.text
  assert '40.0 ± 1.1 % of 2,000 test images right (chance 33 %)' in page.text
  accuracy = data['figures']['learning']['Test accuracy']
  (curve,) = accuracy['curves'].values()
  assert curve == {'x': [500, 1000, 1500, 2000], 'y': [25, 30, 35, 40]}
  assert len(data['figures']['pseudo']['Confusion matrix']['class']) == 3
  assert data['runs']['run']['config']['semppl.k'] == 10
  assert '"1024 rows"' in page.text


def test_every_figure_says_what_good_looks_like(tmp_path):
  content = build.make(
    run_record_lib.read_all([fake_runs.write(tmp_path / 'run')]), pictures=False
  )
  figures = re.findall(r'<figure>(.*?)</figure>', content, re.S)
  assert len(figures) > 8
  for figure in figures:
    assert re.search(r'class="good">[^<]*Good: [^<]{20}', figure)
    assert re.search(r'role="img" aria-label="[^"]+"', figure)


def test_a_finished_run_stands_against_its_floors(tmp_path):
  path = fake_runs.write(tmp_path / 'run', finished=True)
  beside = tmp_path / 'run-evaluation'
  beside.mkdir()
  (beside / 'evaluation.json').write_text(
    json.dumps(
      {'protocols': {'knn': {'baseline': {'knn/labelled/k20/top1': 0.45}}}}
    )
  )
  page, data = _page(path)
  assert 'finished at step 2,000' in page.text
  for phrase in (
    '30.0 points above that of raw pixels',
    '25.0 points above that of the untrained encoder',
    '5.0 points below that of a network trained on the labels alone',
  ):
    assert phrase in page.text
  assert data['figures']['learning']['Test accuracy']['levels'] == {
    'raw pixels': 10, 'untrained encoder': 15, 'labels only': 45,
  }  # fmt: skip


def test_a_run_of_the_labels_alone_is_the_floor_of_another(tmp_path):
  ours = fake_runs.write(tmp_path / 'one')
  floor = fake_runs.write(tmp_path / 'floor', method='supervised', records=20)
  page, data = _page(ours, floor)
  assert '0.0 points above that of a network trained on the labels' in page.text
  assert ASK not in page.text
  title = 'Test accuracy: k-NN, labelled (k = 20)'
  assert data['figures']['learning'][title]['levels'] == {'labels only': 40}
  # Of other labels it is none.
  facts = json.loads((floor / 'run.json').read_text())
  (floor / 'run.json').write_text(json.dumps(facts | {'label_subset': 'other'}))
  page, data = _page(ours, floor)
  assert 'trained on the labels alone' not in page.text
  assert not data['figures']['learning'][title]['levels']


def test_a_run_is_judged_by_its_classifier_and_not_against_neighbours(tmp_path):
  path = fake_runs.write(tmp_path / 'run', method='supervised', finished=True)
  with (path / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 2000, "classifier/top1": 0.7}\n')
  page, _ = _page(path)
  assert 'the classifier has 70.0 ± 1.0 % of 2,000 test images' in page.text
  assert 'points' not in page.text.split('Test accuracy')[0]
  assert ASK not in page.text


ASK = 'What the labels alone give is not known here'
ODD = {
  'run.json': [
    {'class_names': None}, {'total_steps': '9'}, {'starts': ['a']},
    {'batch_size': None}, {'labelled_per_class': 'x'}, {'data': math.inf},
  ],
  'config.json': [
    {'batch_size': 'x'}, {'augment': {'mean': 3}}, {'seed': math.nan},
    {'eval': 4}, {'method': None},
  ],
  'summary.json': [{'steps': None}, {'knn': [1]}, {'knn': {'a': math.nan}}],
  'bench.json': [{'images_per_second': 'fast'}, {'images_per_second': 0}],
  'evaluation.json': [{'protocols': 3}, {'protocols': {'knn': None}}],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
  'file,change', [(file, x) for file, xs in ODD.items() for x in xs], ids=str
)
def test_a_field_of_another_type_costs_no_more_than_its_part(
  tmp_path, file, change
):
  path = fake_runs.write(tmp_path / 'run', finished=True)
  place = path / file
  content = json.loads(place.read_text()) if place.exists() else {}
  place.write_text(json.dumps(content | change))
  _page(path)


@pytest.mark.parametrize(
  'line',
  ['{"step": Infinity}', '{"step": 1, "loss/total": NaN}', '{"step": "x"}',
   '{"step": 3, "label": 3, "index": [1], "true": [1], "share": [1]}',
   '{"step": 3, "label": [1000000000], "index": [1], "true": [1],'
   ' "share": [1]}'],
)  # fmt: skip
@pytest.mark.parametrize(
  'file', ['metrics.jsonl', 'pseudo_labels.jsonl', 'timing.jsonl']
)
def test_a_line_that_is_odd_costs_itself_alone(tmp_path, file, line):
  path = fake_runs.write(tmp_path / 'run')
  with (path / file).open('a') as stream:
    stream.write(line + '\n')
  page, data = _page(path)
  assert 'could not be made' not in page.text
  assert 'Confusion matrix' in data['figures']['pseudo']


def test_an_older_run_has_what_its_summary_says(tmp_path):
  path = fake_runs.write(tmp_path / 'run', finished=True)
  (path / 'run.json').unlink()
  summary = json.loads((path / 'summary.json').read_text())
  (path / 'summary.json').write_text(json.dumps(summary | {'test_images': 50}))
  page, _ = _page(path)
  assert 'of 50 test images right, 30.0 points above' in page.text
  (path / 'summary.json').unlink()
  page, _ = _page(path)
  assert '% of the test images right.' in page.text


def test_a_run_that_was_begun_anew_is_not_finished(tmp_path):
  path = fake_runs.write(tmp_path / 'run', finished=True)
  summary = json.loads((path / 'summary.json').read_text())
  (path / 'summary.json').write_text(json.dumps(summary | {'steps': 9000}))
  page, _ = _page(path)
  assert 'at step 2,000 of 2,000' in page.text


def test_before_the_first_pseudo_label(tmp_path):
  path = fake_runs.write(tmp_path / 'run', records=1, evaluated=False)
  line = json.loads((path / 'pseudo_labels.jsonl').read_text())
  line['label'] = [-1] * len(line['label'])
  (path / 'pseudo_labels.jsonl').write_text(json.dumps(line) + '\n')
  page, data = _page(path)
  assert 'No row on record has a pseudo-label yet.' in page.text
  assert list(data['figures']['pseudo']) == ['Pseudo-labels']


def test_without_an_evaluation(tmp_path):
  page, data = _page(fake_runs.write(tmp_path / 'run', evaluated=False))
  assert "no evaluation yet, eval.every='1000 steps'" in page.text
  assert 'Test accuracy' not in data['figures']['learning']
  assert 'Loss' in data['figures']['learning']


def test_without_true_labels(tmp_path):
  page, data = _page(fake_runs.write(tmp_path / 'run', truth=False))
  assert '100 % of the unlabelled rows have a pseudo-label' in page.text
  assert 'How many are right is not known' in page.text
  assert 'precision, recall and confusion of the classes are not' in page.text
  balance = data['figures']['pseudo'][
    'Class balance of the pseudo-labels over time'
  ]
  assert balance['reference'] == pytest.approx([1 / 3] * 3, abs=1e-4)
  assert 'Confusion matrix' not in data['figures']['pseudo']


def test_a_method_without_pseudo_labels(tmp_path):
  page, data = _page(fake_runs.write(tmp_path / 'run', method='simclr'))
  assert 'No run here gives unlabelled images a label' in page.text
  assert 'pseudo' not in data['figures']


@pytest.mark.parametrize('classes', [1000, 20_000])
def test_many_classes(tmp_path, classes):
  page, data = _page(
    fake_runs.write(tmp_path / 'run', classes=classes, rows=512)
  )
  pseudo = data['figures']['pseudo']
  assert 'Confusion matrix' not in pseudo
  assert 'Recall of the classes, worst to best' in pseudo
  balance = pseudo['Class balance of the pseudo-labels over time']
  assert len(balance['class']) == 24
  assert 'Classes of least recall' in page.text


def test_a_hundred_runs(tmp_path):
  runs = [
    fake_runs.write(tmp_path / f'run_{n}', seed=n, records=10)
    for n in range(100)
  ]
  page, data = _page(*runs)
  assert '100 runs, 0 of them finished and 100 evaluated' in page.text
  assert 'The best: run_' in page.text
  assert len(data['figures']['learning']['Loss']) == 100
  assert 'Of the first 4 runs; the other 96' in page.text
  # One field differs, and of eight runs.
  assert '1 field of' in page.text


def test_a_metrics_file_cut_short(tmp_path):
  path = fake_runs.write(tmp_path / 'run')
  file = path / 'metrics.jsonl'
  file.write_text(file.read_text()[:-30])
  page, _ = _page(path)
  assert 'metrics.jsonl has 1 damaged line(s)' in page.text


def test_an_empty_run(tmp_path):
  path = tmp_path / 'run'
  path.mkdir()
  (path / 'metrics.jsonl').write_text('')
  page, _ = _page(path)
  assert 'at step 0: no evaluation yet' in page.text
  assert 'There is no config.json to show.' in page.text


NASTY = [
  '</script><script>alert(1)</script>',
  '<img src=x onerror=y>',
  '$a_1$ &',
]


def test_names_are_texts_and_nothing_else(tmp_path):
  path = fake_runs.write(tmp_path / '<b>&"run', names=NASTY)
  page, data = _page(path)
  scripts = [a for tag, a in page.tags if tag == 'script']
  assert scripts == [{'type': 'application/json', 'id': 'data'}]
  assert not [a for tag, a in page.tags if tag == 'img' or 'onerror' in a]
  assert data['figures']['pseudo']['Confusion matrix']['class'] == NASTY
  assert NASTY[0] in page.text
  assert '<b>&"run' in page.text


def test_runs_of_unequal_batches_are_compared_by_images(tmp_path):
  one, two = (fake_runs.write(tmp_path / x, records=20) for x in 'ab')
  config = json.loads((two / 'config.json').read_text())
  config['batch_size'] = 128
  (two / 'config.json').write_text(json.dumps(config))
  page, data = _page(one, two)
  title = 'Test accuracy: k-NN, labelled (k = 20)'
  curves = data['figures']['learning'][title]['curves']
  assert curves['a']['x'] == [32_000, 64_000]
  assert curves['b']['x'] == [64_000, 128_000]
  assert 'Images seen' in page.text
  assert 'batch_size' in page.text


def test_a_bench_is_compared_with(tmp_path):
  path = fake_runs.write(tmp_path / 'run')
  (path / 'bench.json').write_text(json.dumps({'images_per_second': 1000.0}))
  page, _ = _page(path)
  assert '92 % of the 1,000 images/s that the bench has' in page.text.replace(
    '92.0', '92'
  )
  assert 'Against the bench' in page.text


def test_time_is_told_apart(tmp_path):
  _, data = _page(fake_runs.write(tmp_path / 'run'))
  spent = data['figures']['time']['What the time was spent on']['run']
  assert spent == {
    'compile': 5.0, 'training': 89.1, 'evaluation': 4.0,
    'waiting for input': 0.9,
  }  # fmt: skip


def test_waiting_counts_by_time_and_not_by_record(tmp_path):
  path = fake_runs.write(tmp_path / 'run')
  (path / 'metrics.jsonl').write_text(
    '{"step": 1, "images_per_second": 1000, "input_wait": 0.0}\n'
    '{"step": 2, "images_per_second": 10, "input_wait": 0.9}\n'
  )
  _, data = _page(path)
  spent = data['figures']['time']['What the time was spent on']['run']
  # 0.001 and 0.1 seconds an image: 0.09 of 0.101 are waiting.
  assert spent['waiting for input'] == pytest.approx(90 * 0.09 / 0.101, 1e-3)
