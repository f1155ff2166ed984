"""The page of runs of every kind, made of their files alone."""

import json
import math
import re

import pytest

from semppl_jax.report import build, run_record as run_record_lib
from tests.helpers import fake_runs, report_page

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


def test_every_figure_says_what_good_looks_like(tmp_path):
  content = build.page(
    run_record_lib.read_all([fake_runs.write(tmp_path / 'run')]), pictures=False
  )
  figures = re.findall(r'<figure>(.*?)</figure>', content, re.S)
  assert len(figures) > 8
  for figure in figures:
    assert re.search(r'class="good">[^<]*Good: [^<]{20}', figure)
    assert re.search(r'role="img" aria-label="[^"]+"', figure)


@pytest.mark.slow
@pytest.mark.parametrize(
  'file,change', [(file, x) for file, xs in ODD.items() for x in xs], ids=str
)
def test_a_field_of_a_wrong_type_loses_only_its_part(tmp_path, file, change):
  path = fake_runs.write(tmp_path / 'run', finished=True)
  place = path / file
  content = json.loads(place.read_text()) if place.exists() else {}
  place.write_text(json.dumps(content | change))
  report_page.make(path)


@pytest.mark.parametrize(
  'file', ['metrics.jsonl', 'pseudo_labels.jsonl', 'timing.jsonl']
)
def test_invalid_lines_lose_only_themselves(tmp_path, file):
  path = fake_runs.write(tmp_path / 'run')
  with (path / file).open('a') as stream:
    stream.write(
      '{"step": Infinity}\n{"step": 1, "loss/total": NaN}\n{"step": "x"}\n'
      '{"step": 3, "label": 3, "index": [1], "true": [1], "share": [1]}\n'
      '{"step": 3, "label": [1000000000], "index": [1], "true": [1],'
      ' "share": [1]}\n'
    )
  page, data = report_page.make(path)
  assert 'This part failed' not in page.text
  assert 'Confusion matrix' in data['figures']['pseudo']


def test_many_runs(tmp_path):
  runs = [
    fake_runs.write(tmp_path / f'run_{n}', seed=n, records=10)
    for n in range(20)
  ]
  page, data = report_page.make(*runs)
  assert '20 runs, 0 of them finished and 20 evaluated' in page.text
  assert 'Best: run_' in page.text
  assert len(data['figures']['learning']['Loss']) == 20
  assert 'Of the first 4 runs; the other 16' in page.text
  # One field differs, and of eight runs.
  assert '1 field of' in page.text


def test_a_metrics_file_cut_short(tmp_path):
  path = fake_runs.write(tmp_path / 'run')
  file = path / 'metrics.jsonl'
  file.write_text(file.read_text()[:-30])
  page, _ = report_page.make(path)
  assert 'metrics.jsonl: 1 damaged line(s)' in page.text


def test_an_empty_run(tmp_path):
  path = tmp_path / 'run'
  path.mkdir()
  (path / 'metrics.jsonl').write_text('')
  page, _ = report_page.make(path)
  assert 'at step 0: no evaluation yet' in page.text
  assert 'There is no config.json to show.' in page.text


NASTY = [
  '</script><script>alert(1)</script>',
  '<img src=x onerror=y>',
  '$a_1$ &',
]


def test_names_are_texts_and_nothing_else(tmp_path):
  path = fake_runs.write(tmp_path / '<b>&"run', names=NASTY)
  page, data = report_page.make(path)
  scripts = [a for tag, a in page.tags if tag == 'script']
  assert scripts == [{'type': 'application/json', 'id': 'data'}]
  assert not [a for tag, a in page.tags if tag == 'img' or 'onerror' in a]
  assert data['figures']['pseudo']['Confusion matrix']['class'] == NASTY
  assert NASTY[0] in page.text
  assert '<b>&"run' in page.text
