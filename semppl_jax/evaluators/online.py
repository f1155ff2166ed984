"""The figures that a run is followed by, on the whole test set."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
from jax.sharding import Mesh
import ml_collections
import numpy as np

from semppl_jax.data import pipeline
from semppl_jax.data.dataset import Dataset, Splits
from semppl_jax.data.device import augment
from semppl_jax.data.labels import LabelSubset
from semppl_jax.evaluators import (
  features as features_lib,
  knn_classifier,
  metrics,
)
from semppl_jax.evaluators.features import Features
from semppl_jax.models import linear_probe as linear_probe_lib
from semppl_jax.models.network import Network
from semppl_jax.runtime import mesh as mesh_lib


class State(Protocol):
  """What is read of a train state."""

  @property
  def params(self) -> Any:
    """Online parameters."""

  @property
  def net_state(self) -> Any:
    """Online batch-norm averages."""

  @property
  def probe(self) -> Any:
    """Online linear probe, or ()."""


def make(
  config: ml_collections.ConfigDict, network: Network, mesh: Mesh
) -> 'RunEvaluation':
  """Builds the evaluation of a run's encoder, projections and classifiers."""
  return RunEvaluation(config, network, mesh)


def _judge(splits: Splits) -> Dataset | None:
  """The test set, if it has any label to judge by."""
  test = splits.test
  return test if test is not None and (test.labels >= 0).any() else None


_KNN_KINDS = ('encoder', 'projection')


class RunEvaluation:
  """Top-1 of k-NN, of the online linear probe and of a classifier.

  The support of the k-NN is the labelled images, and all of train.
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
    state: State,
    splits: Splits,
    subset: LabelSubset,
    stop: Callable[[], bool] = lambda: False,
  ) -> dict[str, float]:
    """Returns figures in [0, 1], and which of them is `best` followed.

    They are `knn/<features>/<support>/k<n>`, `probe/top1` where the run has a
    probe, and `classifier/top1` where the method has a classifier: the best.

    Args:
      state: a train state.
      splits: the data; without a test set there is nothing to return.
      subset: the labelled part of the train set.
      stop: asked between batches whether to give up.

    Raises:
      StoppedError: `stop` said so.
    """
    if _judge(splits) is None:
      return {}
    query, support = self._features(state, splits, subset, stop=stop)
    scores = {}
    for kind in _KNN_KINDS:
      if kind in query.values:
        scores |= self._scores(kind, query, support, subset)
    known = query.label >= 0
    truth = query.label[known]
    if state.probe:
      logits = linear_probe_lib.logits(
        state.probe, query.values['encoder'][known]
      )
      scores['probe/top1'] = metrics.top_k(np.asarray(logits), truth)
    if 'logits' in query.values:
      logits = query.values['logits'][known]
      scores['classifier/top1'] = metrics.top_k(logits, truth)
    knn_name = f'knn/encoder/labelled/k{self._config.eval.headline_k}'
    for headline in ('classifier/top1', knn_name):
      if headline in scores:
        return scores | {'best': scores[headline]}
    return scores

  def floors(
    self, state: State, splits: Splits, subset: LabelSubset
  ) -> dict[str, float]:
    """The same figures for raw pixels and for an untrained encoder.

    Args:
      state: an initial state; its batch-norm averages are empty, so those of
        one batch of test images take their place.
      splits: the data.
      subset: the labelled part of the train set.
    """
    test = _judge(splits)
    if test is None:
      return {}
    calibrated = self._calibrated(state, test)
    query, support = self._features(calibrated, splits, subset, pixels=True)
    pixels = self._scores('pixels', query, support, subset)
    untrained = self._scores('encoder', query, support, subset)
    renamed = {
      name.replace('/encoder/', '/untrained/'): value
      for name, value in untrained.items()
    }
    return pixels | renamed

  def _features(
    self, state, splits, subset, *, pixels: bool = False, stop=lambda: False
  ):
    train = (
      np.arange(len(splits.train.ids), dtype=np.int32)
      if self._config.eval.full_support
      else subset.index
    )

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

    everything = np.arange(len(splits.test.ids), dtype=np.int32)
    return collect(splits.test, everything), collect(splits.train, train)

  def _batches(self, data: Dataset, indices: np.ndarray):
    return pipeline.eval_batches(
      self._config,
      data,
      indices,
      self._config.eval.batch_size,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )

  def _scores(
    self, kind: str, query: Features, support: Features, subset: LabelSubset
  ) -> dict[str, float]:
    e = self._config.eval
    rows = {'labelled': np.isin(support.index, subset.index)}
    if e.full_support:
      rows['train'] = np.ones(len(support.index), bool)
    scores = {}
    for name, kept in rows.items():
      result = knn_classifier.top1(
        query.values[kind],
        query.label,
        support.values[kind][kept],
        support.label[kept],
        tuple(sorted({*e.k, e.headline_k})),
        e.temperature,
        self._mesh,
      )
      for k, value in result.items():
        scores[f'knn/{kind}/{name}/k{k}'] = value
    return scores

  def _calibrated(self, state, data: Dataset):
    """Gives an untrained network the batch-norm averages of one batch."""
    first = next(iter(self._batches(data, np.arange(len(data.ids)))))
    # Padding and unreadable images would be part of the statistics.
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
