"""Galleries of similar images: queue entries that voted, nearest neighbours."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from semppl_jax.evaluators.features import Features
from semppl_jax.report import formatting, run_inputs as run_inputs_lib
from semppl_jax.report.components import Block, Card, Gallery, Note, Picture
from semppl_jax.report.run_inputs import RunInputs
from semppl_jax.report.run_record import Json, RunRecord

# Cards of each kind, and pictures of each kind on one.
_MAX_CARDS, _MAX_NEIGHBORS, _MAX_POSITIVES = 5, 5, 3


class _Query(NamedTuple):
  """An unlabelled row of a step.

  Attributes:
    step: the step.
    index: position of the image in the train set.
    label: its pseudo-label.
    true: its class, or -1 if unknown.
    share: share of the votes, in [0, 1].
    voters: position and votes of each neighbour that voted.
    positives: positions of its semantic positives.
  """

  step: int
  index: int
  label: int
  true: int
  share: float
  voters: Sequence[tuple[int, int]]
  positives: Sequence[int]


def queue_votes(run: RunRecord, inputs: RunInputs) -> Iterator[Block]:
  """Yields rows of recent steps with the queue entries that voted."""
  queries = _queries(run.pseudo_labels)
  if not queries:
    yield Note(
      'No votes: the method has no queue of labelled images, or no vote was'
      ' recorded yet.'
    )
    return
  wanted: set[int] = set()
  for query in queries:
    wanted |= {query.index, *query.positives, *(v for v, _ in query.voters)}
  images = run_inputs_lib.images(inputs, inputs.splits.train, wanted)
  yield Gallery(
    'Unlabelled images, the queue entries that voted, and their positives',
    [_vote_card(inputs, q, images) for q in queries if q.index in images],
    'Good: the neighbours that voted show the same class as the image. Where'
    ' the pseudo-label is wrong, they often share a color or a pose with it.'
    ' Green is right, red is wrong.',
  )


def _queries(lines: Sequence[Json]) -> list[_Query]:
  """Returns the newest rows with votes, right, wrong and unknown ones."""
  queries: list[_Query] = []
  for line in reversed(lines):
    positives = line.get('positives') or ()
    for place, voters in enumerate(line.get('voters') or ()):
      query = _Query(
        line['step'],
        *(line[name][place] for name in ('index', 'label', 'true', 'share')),
        voters=voters,
        positives=positives[place] if place < len(positives) else (),
      )
      if voters and query.label >= 0:
        queries.append(query)
    if len(queries) >= 8 * _MAX_CARDS:
      break
  right = [q for q in queries if q.label == q.true]
  wrong = [q for q in queries if q.label != q.true and q.true >= 0]
  unknown = [q for q in queries if q.true < 0]
  return [q for kind in (right, wrong, unknown) for q in kind[:_MAX_CARDS]]


def _vote_card(
  inputs: RunInputs, query: _Query, images: Mapping[int, np.ndarray]
) -> Card:
  train = inputs.splits.train

  def matches(label: int) -> bool | None:
    return None if query.true < 0 else label == query.true

  right = matches(query.label)
  pictures = [Picture.from_image(images[query.index], 'image', right)]
  captions = [
    (index, '{}, ' + formatting.count(votes, 'vote'))
    for index, votes in query.voters[:_MAX_NEIGHBORS]
  ] + [(index, 'positive: {}') for index in query.positives[:_MAX_POSITIVES]]
  for index, caption in captions:
    if index in images:
      label = int(train.labels[index])
      text = caption.format(inputs.class_name(label))
      pictures.append(Picture.from_image(images[index], text, matches(label)))
  truth = (
    '' if right is not False else f', true {inputs.class_name(query.true)}'
  )
  title = (
    f'{train.ids[query.index]}: pseudo-label {inputs.class_name(query.label)}'
    f' with {formatting.percent(query.share, 0)} of the votes{truth} (step'
    f' {query.step:,})'
  )
  return Card(title, pictures, right)


def nearest_labelled(
  inputs: RunInputs, queries: Features, support: Features
) -> Iterator[Block]:
  """Yields test images with their nearest labelled images.

  Args:
    inputs: the data of the run.
    queries: features of test images.
    support: features of labelled train images.
  """
  from sklearn.preprocessing import normalize

  test, train = inputs.splits.test, inputs.splits.train
  assert test is not None
  encoder = (x.values['encoder'] for x in (queries, support))
  query_features, support_features = map(normalize, encoder)
  similarity = query_features @ support_features.T
  nearest = np.argsort(-similarity, axis=1, kind='stable')[:, :_MAX_NEIGHBORS]
  # The most frequent label; of equals, that of the nearest.
  votes = np.asarray([
    Counter(row).most_common(1)[0][0] for row in support.label[nearest].tolist()
  ])  # fmt: skip
  right = votes == queries.label
  known = queries.label >= 0
  rows = np.concatenate([
    np.flatnonzero(known & right)[:_MAX_CARDS],
    np.flatnonzero(known & ~right)[:_MAX_CARDS],
  ])  # fmt: skip
  tests = run_inputs_lib.images(inputs, test, queries.index[rows])
  neighbors = run_inputs_lib.images(
    inputs, train, support.index[nearest[rows]].ravel()
  )
  cards = []
  for row in rows:
    index, true = int(queries.index[row]), int(queries.label[row])
    if index not in tests:
      continue
    verdict = bool(right[row])
    pictures = [Picture.from_image(tests[index], 'image', verdict)] + [
      Picture.from_image(
        neighbors[int(support.index[place])],
        f'{inputs.class_name(int(support.label[place]))},'
        f' {similarity[row, place]:.2f}',
        int(support.label[place]) == true,
      )
      for place in nearest[row]
      if int(support.index[place]) in neighbors
    ]
    title = (
      f'{test.ids[index]}: {inputs.class_name(true)}, most neighbours are'
      f' {inputs.class_name(int(votes[row]))}'
    )
    cards.append(Card(title, pictures, verdict))
  yield Gallery(
    'Test images and their nearest labelled images',
    cards,
    'Nearest by cosine similarity (the numbers) of encoder features, in'
    f' a sample of {formatting.count(len(support.index), "labelled image")}.'
    ' Good: neighbours look similar to people too. Pillow makes the crops, so'
    ' they may differ slightly from those of the evaluation.',
  )
