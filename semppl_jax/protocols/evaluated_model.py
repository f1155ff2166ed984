"""Network under evaluation, with cached features."""

from collections.abc import Callable
import functools

import jax
import numpy as np
from rich.console import Console
from rich.progress import track

from semppl_jax.config import loading
from semppl_jax.data import pipeline
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.pipeline import EvalBatch
from semppl_jax.evaluators import features as features_lib
from semppl_jax.evaluators.features import Features
from semppl_jax.models.network import make_network
from semppl_jax.models.weights import Weights
from semppl_jax.protocols.setup import Context
from semppl_jax.runtime import mesh as mesh_lib


class EvaluatedModel:
  """Network whose features of the evaluation's data are computed once.

  Attributes:
    weights: its weights.
    title: its name in messages.
  """

  def __init__(self, context: Context, weights: Weights, title: str):
    """Puts the weights on the devices; computes nothing yet."""
    self.weights, self.title = weights, title
    self._context = context
    network = make_network(
      weights.network, heads=weights.heads, bn_groups='view'
    )
    embedding = context.config.soft_nn.embedding
    kinds = tuple({'encoder': 0, embedding: 0, 'logits': 0})
    self._embed = features_lib.make_embed(
      context.run.augment, network, context.mesh, kinds
    )
    # Once, not with every batch.
    self._trees = jax.device_put(
      (weights.params, weights.net_state), mesh_lib.replicated(context.mesh)
    )

  @functools.cached_property
  def test(self) -> Features:
    """Features of the test images with a label."""
    test = self._context.test
    return self.features(test, np.flatnonzero(test.labels >= 0))

  @functools.cached_property
  def train(self) -> Features:
    """Features of the labelled train images that any protocol uses."""
    c = self._context
    everything = 'train' in c.config.knn.support or (
      c.config.linear.labels == 'train'
    )
    known = np.flatnonzero(c.splits.train.labels >= 0)
    rows = known if everything else c.subset.index
    return self.features(c.splits.train, rows)

  def support(self, name: str) -> Features:
    """Features of the `'labelled'` images, or of all of `'train'`."""
    if name == 'train':
      return self.train
    labelled = np.isin(self.train.index, self._context.subset.index)
    return self.train.select(labelled)

  def features(
    self,
    data: Dataset,
    rows: np.ndarray,
    transform: Callable[[EvalBatch], EvalBatch] = lambda batch: batch,
    *,
    whole: bool = False,
  ) -> Features:
    """Returns the features of some images, of each kind that the network has.

    Args:
      data: any data set.
      rows: ascending positions in it.
      transform: applied to every batch before the network.
      whole: do not crop, as each image is a crop already.
    """
    run = loading.copy(self._context.run)
    if whole:
      run.eval.resize = run.eval.crop
    batches = pipeline.eval_batches(
      run,
      data,
      rows,
      run.eval.batch_size,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )
    count = -(-len(rows) // run.eval.batch_size)
    params, net_state = self._trees
    console = Console(stderr=True)
    shown = track(
      map(transform, batches),
      self.title,
      total=count,
      console=console,
      disable=not console.is_terminal,
    )
    return features_lib.collect(
      iter(shown), self._embed, params, net_state, self._context.mesh
    )
