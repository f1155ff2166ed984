"""Directories of weights: what is stored, and damages."""

import json
import shutil

import pytest

from semppl_jax.exchange import weights_dir
from semppl_jax.models.weights import WeightsError
from tests.helpers import random_weights


@pytest.fixture
def stored(tmp_path):
  weights_dir.write(tmp_path / 'weights', random_weights.make())
  return tmp_path / 'weights'


def test_damaged_weights_are_one_sentence(stored):
  text = (stored / weights_dir.FILE).read_text()
  said = json.loads(text)
  cases = [(json.dumps(said | {'preprocessing': 3}), 'damaged')]
  cases += [('[]', 'damaged'), ('{', 'damaged'), ('[' * 100_000, 'damaged')]
  for key in ('network', 'preprocessing', 'class_names', 'origin'):
    left = {k: v for k, v in said.items() if k != key}
    cases.append((json.dumps(left), f"'{key}' not found"))
  for content, word in cases:
    (stored / weights_dir.FILE).write_text(content)
    with pytest.raises(WeightsError, match=word):
      weights_dir.read(stored)
  (stored / weights_dir.FILE).write_text(text)
  assert weights_dir.read(stored).origin == said['origin']


def test_weights_without_arrays_are_one_sentence(stored):
  shutil.rmtree(stored / 'arrays')
  with pytest.raises(WeightsError, match='damaged'):
    weights_dir.read(stored)
  (stored / 'arrays').mkdir()
  with pytest.raises(WeightsError, match='damaged'):
    weights_dir.read(stored)
