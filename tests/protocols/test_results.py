"""The JSON file of an evaluation."""

import json

import pytest

from semppl_jax.protocols.results import (
  BASELINE,
  EvaluationResults,
  FIGURES,
  FILE,
)
from semppl_jax.runtime.errors import InputError
from tests.helpers.evaluations import make_context


def test_each_addition_is_written_and_found_again(images, checkpoint, tmp_path):
  context = make_context(images, checkpoint, tmp_path)
  results = EvaluationResults(context)
  assert not results.has('knn', FIGURES)
  results.add('knn', FIGURES, {'knn/top1': 0.5})
  results.add('knn', BASELINE, {'knn/top1': 0.25})
  again = EvaluationResults(make_context(images, checkpoint, tmp_path))
  assert again.has('knn', FIGURES) and again.has('knn', BASELINE)
  assert again.content['protocols'] == results.content['protocols']
  text = again.describe()
  assert 'labels only' in text and '50.0%' in text and '25.0%' in text


def test_a_file_of_something_else_is_named(images, checkpoint, tmp_path):
  context = make_context(images, checkpoint, tmp_path)
  (tmp_path / FILE).write_text('[')
  with pytest.raises(InputError, match='is not a file of this program'):
    EvaluationResults(context)
  (tmp_path / FILE).write_text(json.dumps({'weights': 'others'}))
  with pytest.raises(InputError, match='holds an evaluation with other'):
    EvaluationResults(context)
