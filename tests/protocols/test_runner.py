"""Protocols on untrained weights, and their results in one file."""

import json

import pytest

from semppl_jax.config import loading
from semppl_jax.exchange import weights_dir
from semppl_jax.protocols import runner
from semppl_jax.runtime.errors import InputError
from tests.helpers import tiny
from tests.helpers.evaluations import make_context
from tests.helpers.tiny import weights


def test_every_protocol_leaves_figures_in_one_file(everything):
  workdir, result = everything
  content = json.loads((workdir / 'evaluation.json').read_text())
  assert content == result.content
  assert content['labelled_images'] == 12 and content['test_images'] == 18
  assert content['settings']['seed'] == content['seed'] == 0
  for name in ('weights', 'labels', 'version', 'devices'):
    assert content[name], name
  figures = {
    name: value
    for protocol in content['protocols'].values()
    for name, value in protocol['figures'].items()
  }
  assert content['protocols'].keys() == {
    'knn', 'soft_nn', 'linear', 'finetune', 'suncet', 'robustness',
  }  # fmt: skip
  for name in (
    'knn/labelled/k1/top1',
    'knn/train/k5/top1',
    'soft_nn/projection/top1',
    'linear/sgd/top1',
    'linear/logistic/top1',
    'linear/ridge/top1',
    'finetune/top1',
    'suncet/soft_nn/projection/top1',
    'robustness/corrupted/top1',
  ):
    assert 0 <= figures[name] <= 1, name
  # Brightness tells the two classes apart.
  assert figures['linear/logistic/top1'] > 0.8
  text = result.describe()
  assert 'finetune/top1' in text and '12 labels' in text


def test_suncet_needs_projections(images, checkpoint, tmp_path):
  path = tmp_path / 'headless'
  weights_dir.write(path, weights(tiny.config(images), ()))
  context = make_context(images, path, tmp_path / 'evaluation')
  with pytest.raises(InputError, match=r'cannot be run: .* no projector'):
    runner.run(context, 'suncet', False)


def test_what_is_known_is_not_evaluated_again(
  everything, images, checkpoint, monkeypatch
):
  workdir, result = everything
  for name, protocol in runner.PROTOCOLS.items():
    monkeypatch.setitem(runner.PROTOCOLS, name, protocol._replace(run=None))
  again = runner.run(make_context(images, checkpoint, workdir), 'all', False)
  assert again.content['protocols'] == result.content['protocols']


def test_another_evaluation_does_not_go_on_in_its_place(
  everything, images, checkpoint
):
  context = make_context(images, checkpoint, everything[0], seed=1)
  with pytest.raises(InputError, match='holds an evaluation with other sett'):
    runner.run(context, 'knn', False)


def test_a_protocol_without_its_data_says_what_it_needs(
  images, checkpoint, tmp_path
):
  context = make_context(
    images, checkpoint, tmp_path, **{'transfer.path': str(tmp_path)}
  )
  with pytest.raises(InputError, match=r'config\.transfer\.path holds none'):
    runner.run(context, 'transfer', False)
  assert not (tmp_path / 'evaluation.json').exists()


def test_the_program_names_a_protocol_that_is_not_there():
  with pytest.raises(loading.ConfigError, match="did you mean 'finetune'"):
    runner.check('fine_tune')
