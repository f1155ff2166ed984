"""Evaluation of a run in progress on the whole test set."""

from collections.abc import Callable, Iterator

import jax
from jax.sharding import Mesh
from jaxtyping import PyTree
import ml_collections
import numpy as np

from semppl_jax.data import pipeline
from semppl_jax.data.dataset import Dataset, Splits
from semppl_jax.data.device import augment
from semppl_jax.data.labels import LabelSubset
from semppl_jax.data.pipeline import EvalBatch
from semppl_jax.evaluators import (
  features as features_lib,
  knn_classifier,
  metrics,
)
from semppl_jax.evaluators.features import Features
from semppl_jax.models import linear_probe as linear_probe_lib
from semppl_jax.models.network import Network
from semppl_jax.runtime import mesh as mesh_lib

_KNN_KINDS = ('encoder', 'projection')


class OnlineEvaluator:
  """Top-1 accuracy of k-NN, of the online linear probe and of a classifier.

  The support of the k-NN is the labelled images, and the whole train set if
  `config.eval.full_support`. A train state has `params`, `net_state` and
  `probe`, which is () without a probe.
  """

  def __init__(
    self, config: ml_collections.ConfigDict, network: Network, mesh: Mesh
  ):
    self._config, self._mesh, self._network = config, mesh, network
    self._embed = features_lib.make_embed(
      config.augment, network, mesh, (*_KNN_KINDS, 'logits')
    )

  def __call__(
    self,
    state: PyTree,
    splits: Splits,
    subset: LabelSubset,
    stop: Callable[[], bool] = lambda: False,
  ) -> dict[str, float]:
    """Returns accuracies in [0, 1].

    They are `knn/<features>/<support>/k<n>`, `probe/top1` with a probe, and
    `classifier/top1` with a classifier. `best` repeats the one that selects
    the best checkpoint: of the classifier, else of `config.eval.headline_k`.

    Args:
      state: a train state.
      splits: the data; the result is empty without labelled test images.
      subset: the labelled part of the train set.
      stop: called between batches; True ends the evaluation.

    Raises:
      StoppedError: `stop` returned True.
    """
    if _labelled_test(splits) is None:
      return {}
    query, support = self._features(state, splits, subset, stop=stop)
    scores = {}
    for kind in _KNN_KINDS:
      if kind in query.values:
        scores |= self._knn(kind, query, support, subset)
    if state.probe:
      logits = linear_probe_lib.logits(state.probe, query.values['encoder'])
      scores['probe/top1'] = metrics.top_k(np.asarray(logits), query.label)
    if 'logits' in query.values:
      logits = query.values['logits']
      scores['classifier/top1'] = metrics.top_k(logits, query.label)
    knn_name = f'knn/encoder/labelled/k{self._config.eval.headline_k}'
    for headline in ('classifier/top1', knn_name):
      if headline in scores:
        return scores | {'best': scores[headline]}
    return scores

  def baselines(
    self, state: PyTree, splits: Splits, subset: LabelSubset
  ) -> dict[str, float]:
    """Returns the k-NN accuracies of raw pixels and of an untrained encoder.

    Args:
      state: an initial state; its batch-norm averages are empty and replaced
        by those of one batch of test images.
      splits: the data.
      subset: the labelled part of the train set.
    """
    test = _labelled_test(splits)
    if test is None:
      return {}
    state = self._calibrated(state, test)
    query, support = self._features(state, splits, subset, pixels=True)
    pixels = self._knn('pixels', query, support, subset)
    untrained = self._knn('encoder', query, support, subset)
    return pixels | {
      name.replace('/encoder/', '/untrained/'): value
      for name, value in untrained.items()
    }

  def _features(
    self, state, splits, subset, *, pixels: bool = False, stop=lambda: False
  ) -> tuple[Features, Features]:
    """Returns the features of the test set and of the support."""

    def collect(data: Dataset, indices: np.ndarray) -> Features:
      return features_lib.collect(
        self._batches(data, indices),
        self._embed,
        state.params,
        state.net_state,
        self._mesh,
        pixels=pixels,
        stop=stop,
      )

    support = subset.index
    if self._config.eval.full_support:
      support = np.arange(splits.train.size)
    test = collect(splits.test, np.arange(splits.test.size))
    return test, collect(splits.train, support)

  def _batches(self, data: Dataset, indices: np.ndarray) -> Iterator[EvalBatch]:
    return pipeline.eval_batches(
      self._config,
      data,
      indices,
      self._config.eval.batch_size,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )

  def _knn(
    self, kind: str, query: Features, support: Features, subset: LabelSubset
  ) -> dict[str, float]:
    e = self._config.eval
    parts = {'labelled': support.select(np.isin(support.index, subset.index))}
    if e.full_support:
      parts['train'] = support
    scores = {}
    for name, part in parts.items():
      top1 = knn_classifier.top1(
        query.values[kind],
        query.label,
        part.values[kind],
        part.label,
        tuple(sorted({*e.k, e.headline_k})),
        e.temperature,
        self._mesh,
      )
      scores |= {f'knn/{kind}/{name}/k{k}': x for k, x in top1.items()}
    return scores

  def _calibrated(self, state, data: Dataset):
    """Gives an untrained network the batch-norm averages of one batch."""
    first = next(self._batches(data, np.arange(data.size)))
    # Padding and unreadable images would enter the statistics.
    good = first.image[first.valid]
    full = np.resize(good, first.image.shape) if len(good) else first.image
    images = mesh_lib.to_global(self._mesh, full)

    def statistics(params, net_state, images):
      normal = augment.normalize(
        images, self._config.augment.mean, self._config.augment.std
      )
      return self._network.apply(params, net_state, (normal[:, None],), True)[1]

    net_state = jax.jit(statistics)(state.params, state.net_state, images)
    return state._replace(net_state=net_state)


def _labelled_test(splits: Splits) -> Dataset | None:
  test = splits.test
  return test if test is not None and (test.labels >= 0).any() else None
