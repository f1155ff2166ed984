"""Names and values of the online evaluation, with a network of mean colors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from semppl_jax.data import pipeline
from semppl_jax.data.dataset import Dataset, Splits
from semppl_jax.data.labels import LabelSubset
from semppl_jax.data.pipeline import EvalBatch
from semppl_jax.evaluators.online import OnlineEvaluator
from semppl_jax.models.network import Network, Outputs
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import StoppedError

CONFIG = ml_collections.ConfigDict(
  dict(
    augment=dict(mean=(0.5,) * 3, std=(0.5,) * 3),
    eval=dict(
      k=(1,), headline_k=2, temperature=0.1, full_support=True, batch_size=4
    ),
  )
)
# Red, green and blue images, of which the first three have a known label.
TRAIN = Dataset('train', np.arange(6), np.arange(6, dtype=np.int32) % 3, (), ())
TEST = Dataset('test', np.arange(4), np.array([0, 1, 2, -1], np.int32), (), ())
SUBSET = LabelSubset(np.arange(3, dtype=np.int32), '')


class _State(NamedTuple):
  params: jax.Array = jnp.eye(3)
  net_state: jax.Array = jnp.zeros(())
  probe: tuple[()] = ()


@pytest.fixture(autouse=True)
def batches(monkeypatch):
  def eval_batches(config, data, indices, batch_size, **processes):
    for start in range(0, len(indices), batch_size):
      index = np.full(batch_size, -1, np.int32)
      part = indices[start : start + batch_size]
      index[: len(part)] = part
      color = 255 * np.eye(3, dtype=np.uint8)[index % 3]
      image = np.broadcast_to(color[:, None, None], (batch_size, 2, 2, 3))
      yield EvalBatch(image, data.labels[index], index, index >= 0)

  monkeypatch.setattr(pipeline, 'eval_batches', eval_batches)


def _evaluator(classifier=False):
  def embed(params, state, images):
    features = (jnp.mean(images, axis=(1, 2)) @ params)[:, None] + state
    return Outputs(features, logits=-features if classifier else None)

  def apply(params, state, views, is_training):
    return embed(params, state, views[0][:, 0]), jnp.mean(views[0])

  network = Network(lambda *_: ((), ()), apply, embed, lambda tree: tree)
  return OnlineEvaluator(CONFIG, network, mesh_lib.make_mesh(jax.devices()[:2]))


def test_the_headline_is_the_accuracy_of_labelled_neighbors():
  got = _evaluator()(_State(), Splits(TRAIN, TEST), SUBSET)
  names = [
    f'knn/encoder/{s}/k{k}' for s in ('labelled', 'train') for k in (1, 2)
  ]
  assert got == dict.fromkeys([*names, 'best'], 1.0)


def test_a_classifier_comes_first():
  got = _evaluator(classifier=True)(_State(), Splits(TRAIN, TEST), SUBSET)
  assert got['knn/encoder/labelled/k1'] == 1
  assert got['best'] == got['classifier/top1'] == 0


def test_baselines_are_pixels_and_an_untrained_encoder():
  got = _evaluator().baselines(_State(), Splits(TRAIN, TEST), SUBSET)
  assert got.keys() == {
    f'knn/{kind}/{support}/k{k}'
    for kind in ('pixels', 'untrained')
    for support in ('labelled', 'train')
    for k in (1, 2)
  }
  assert set(got.values()) == {1.0}


@pytest.mark.parametrize(
  'test', [None, TEST._replace(labels=np.full(4, -1, np.int32))]
)
def test_without_a_labelled_test_image_there_is_nothing(test):
  evaluator, splits = _evaluator(), Splits(TRAIN, test)
  assert evaluator(_State(), splits, SUBSET) == {}
  assert evaluator.baselines(_State(), splits, SUBSET) == {}


def test_a_stop_ends_the_evaluation():
  with pytest.raises(StoppedError):
    _evaluator()(_State(), Splits(TRAIN, TEST), SUBSET, stop=lambda: True)
