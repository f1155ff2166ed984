"""Training objectives on labelled images, each with its validation score."""

from collections.abc import Callable
from typing import NamedTuple

import ml_collections
import numpy as np

from semppl_jax.evaluators import metrics, soft_nn
from semppl_jax.evaluators.features import Features
from semppl_jax.protocols.evaluated_model import EvaluatedModel
from semppl_jax.protocols.setup import Context


class Objective(NamedTuple):
  """Training objective.

  Attributes:
    configure: `(training config, recipe)`: sets the method and its fields.
    score: `(context, model, fit, held_out) -> top-1` on the train images
      `held_out`, of a model trained on `fit`; both are rows of the train set.
  """

  configure: Callable[
    [ml_collections.ConfigDict, ml_collections.ConfigDict], None
  ]
  score: Callable[[Context, EvaluatedModel, np.ndarray, np.ndarray], float]


def soft_nn_scores(
  context: Context, query: Features, support: Features
) -> tuple[str, np.ndarray]:
  """Returns the kind of embedding and soft nearest neighbour scores [M, C]."""
  c = context.config.soft_nn
  # A network without that head, such as the baseline, uses its encoder.
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


def _configure_classify(c, recipe) -> None:
  """Cross-entropy on one view of each image."""
  c.method = 'supervised'
  c.network.classifier.update(classes=0, input=recipe.classify)
  c.views.large.count = 1
  c.optimizer.final_learning_rate = 0.0


def _score_classify(context, model, fit, held_out) -> float:
  del fit
  query = model.features(context.splits.train, np.sort(held_out))
  return metrics.top_k(query.values['logits'], query.label, 1)


def _configure_contrast(c, recipe) -> None:
  """SuNCEt on the projections of a few views of each image."""
  c.method = 'suncet'
  c.suncet.update(temperature=recipe.temperature, contrast_weight=0.0)
  c.suncet.labelled = 'batch'
  c.views.large.count = recipe.views
  c.optimizer.final_learning_rate = recipe.final_learning_rate


def _score_contrast(context, model, fit, held_out) -> float:
  support, query = (
    model.features(context.splits.train, np.sort(rows))
    for rows in (fit, held_out)
  )
  _, scores = soft_nn_scores(context, query, support)
  return metrics.top_k(scores, query.label, 1)


CLASSIFY = Objective(_configure_classify, _score_classify)
CONTRAST = Objective(_configure_contrast, _score_contrast)
