"""What a network can be trained to do on the labelled images, and its judge."""

from collections.abc import Callable
from typing import NamedTuple

import ml_collections
import numpy as np

from semppl_jax.evaluators import metrics, soft_nn
from semppl_jax.evaluators.features import Features
from semppl_jax.protocols.evaluated_model import Subject
from semppl_jax.protocols.setup import Context


class Task(NamedTuple):
  """One thing to learn.

  Attributes:
    change: `(training config, recipe)`: sets the method and what it needs.
    judge: `(context, subject, learned, held) -> top-1` on the train images
      `held`, of a network that learned from `learned`; rows of the train set.
  """

  change: Callable[[ml_collections.ConfigDict, ml_collections.ConfigDict], None]
  judge: Callable[[Context, Subject, np.ndarray, np.ndarray], float]


def votes(
  context: Context, query: Features, support: Features
) -> tuple[str, np.ndarray]:
  """Soft nearest neighbours: which embedding, and scores [M, C]."""
  c = context.config.soft_nn
  # A network without that head, as the baseline, is judged by its encoder.
  kind = c.embedding if c.embedding in query.values else 'encoder'
  scores = soft_nn.scores(
    query.values[kind],
    support.values[kind],
    support.label,
    context.classes,
    c.temperature,
    context.mesh,
  )
  return kind, scores


def _classify(c, recipe) -> None:
  """Cross-entropy on one view of each image."""
  c.method = 'supervised'
  c.network.classifier.update(classes=0, input=recipe.classify)
  c.views.large.count = 1
  c.optimizer.final_learning_rate = 0.0


def _by_classifier(context, subject, learned, held) -> float:
  del learned
  found = subject.features(context.splits.train, np.sort(held))
  return metrics.top_k(found.values['logits'], found.label, 1)


def _contrast(c, recipe) -> None:
  """SuNCEt on the projections of a few views of each image."""
  c.method = 'suncet'
  c.suncet.update(temperature=recipe.temperature, contrast_weight=0.0)
  c.suncet.labelled = 'batch'
  c.views.large.count = recipe.views
  c.optimizer.final_learning_rate = recipe.final_learning_rate


def _by_votes(context, subject, learned, held) -> float:
  support, query = (
    subject.features(context.splits.train, np.sort(rows))
    for rows in (learned, held)
  )
  return metrics.top_k(votes(context, query, support)[1], query.label, 1)


CLASSIFY = Task(_classify, _by_classifier)
CONTRAST = Task(_contrast, _by_votes)
