"""What does it think is alike? Neighbours, votes and semantic positives."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from semppl_jax.evaluators.features import Features
from semppl_jax.report import formatting, pictures, run_inputs as run_inputs_lib
from semppl_jax.report.components import Block, Card, Gallery, Note, Picture
from semppl_jax.report.run_inputs import Material
from semppl_jax.report.run_record import Course

# Cards of each kind, and pictures of each kind on one.
_CARDS, _NEIGHBOURS = 5, 5


class _Query(NamedTuple):
  """An unlabelled row of a step: its image, its votes, its positives."""

  step: int
  index: int
  label: int
  true: int
  share: float
  voters: Sequence[Sequence[int]]
  positives: Sequence[int]


def of_queue(course: Course, material: Material) -> Iterator[Block]:
  """Rows of recent steps with the queue entries that voted for their label."""
  queries = _queries(course.guesses)
  if not queries:
    yield Note(
      'This run keeps no queue of labelled images that vote, or has recorded no'
      ' vote yet.'
    )
    return
  wanted: set[int] = set()
  for query in queries:
    wanted |= {query.index, *query.positives, *(v for v, _ in query.voters)}
  train = material.splits.train
  found = run_inputs_lib.images(material, train, wanted)
  cards = [_voted(material, query, found) for query in queries]
  yield Gallery(
    'Unlabelled images, the queue entries that voted, and their positives',
    [card for card in cards if card.pictures],
    'Good: the voters show the same kind of thing as the image; where the label'
    ' is wrong, they share a colour or a pose with it. Green is right, red'
    ' wrong.',
  )


def _queries(lines: Sequence[Mapping[str, Any]]) -> list[_Query]:
  """The newest rows that say who voted, right and wrong ones."""
  found: list[_Query] = []
  for line in reversed(lines):
    for place, voters in enumerate(line.get('voters') or ()):
      positives = line.get('positives') or ()
      query = _Query(
        line['step'],
        *(line[name][place] for name in ('index', 'label', 'true', 'share')),
        voters=voters,
        positives=positives[place] if place < len(positives) else (),
      )
      if voters and query.label >= 0:
        found.append(query)
    if len(found) >= 8 * _CARDS:
      break
  right = [q for q in found if q.label == q.true]
  wrong = [q for q in found if q.label != q.true and q.true >= 0]
  unknown = [q for q in found if q.true < 0]
  return [*right[:_CARDS], *wrong[:_CARDS], *unknown[:_CARDS]]


def _voted(
  material: Material, query: _Query, found: Mapping[int, np.ndarray]
) -> Card:
  train = material.splits.train
  if query.index not in found:
    return Card('', [])
  right = None if query.true < 0 else query.label == query.true
  truth = '' if right is not False else f', is {_name(material, query.true)}'
  shown = [Picture(pictures.encode(found[query.index]), 'image', right)]
  for voter, votes in query.voters[:_NEIGHBOURS]:
    if voter in found:
      label = int(train.labels[voter])
      caption = f'{_name(material, label)}, {formatting.count(votes, "vote")}'
      same = None if query.true < 0 else label == query.true
      shown.append(Picture(pictures.encode(found[voter]), caption, same))
  for positive in query.positives[:3]:
    if positive in found:
      label = int(train.labels[positive])
      same = None if query.true < 0 else label == query.true
      caption = f'positive: {_name(material, label)}'
      shown.append(Picture(pictures.encode(found[positive]), caption, same))
  return Card(
    f'{train.ids[query.index]}: taken for {_name(material, query.label)} by'
    f' {formatting.percent(query.share, 0)} of the votes{truth} (step'
    f' {query.step:,})',
    shown,
    right,
  )


def of_features(
  material: Material, queries: Features, support: Features
) -> Iterator[Block]:
  """Test images with their nearest labelled images, by encoder features.

  Args:
    material: the run's data.
    queries: features of test images.
    support: features of labelled train images.
  """
  test, train = material.splits.test, material.splits.train
  assert test is not None
  similarity = _unit(queries) @ _unit(support).T
  near = np.argsort(-similarity, axis=1, kind='stable')[:, :_NEIGHBOURS]
  label = support.label[near]
  vote = np.asarray([_majority(row) for row in label])
  right = vote == queries.label
  known = queries.label >= 0
  rows = np.concatenate([
    np.flatnonzero(known & right)[:_CARDS],
    np.flatnonzero(known & ~right)[:_CARDS],
  ])  # fmt: skip
  shown = run_inputs_lib.images(material, test, queries.index[rows])
  others = run_inputs_lib.images(
    material, train, support.index[near[rows]].ravel()
  )
  cards = []
  for row in rows:
    index = int(queries.index[row])
    if index not in shown:
      continue
    truth = _name(material, int(queries.label[row]))
    card = [Picture(pictures.encode(shown[index]), 'image', bool(right[row]))]
    for place in near[row]:
      other = int(support.index[place])
      if other in others:
        own = int(support.label[place])
        card.append(
          Picture(
            pictures.encode(others[other]),
            f'{_name(material, own)}, {similarity[row, place]:.2f}',
            own == int(queries.label[row]),
          )
        )
    title = f'{test.ids[index]}: {truth}, nearest are mostly'
    cards.append(
      Card(f'{title} {_name(material, int(vote[row]))}', card, bool(right[row]))
    )
  yield Gallery(
    'Test images and their nearest labelled images',
    cards,
    f'By cosine of encoder features, among a sample of'
    f' {formatting.count(len(support.index), "labelled image")}. Good:'
    ' neighbours that a person would call alike; numbers are similarities, of'
    ' crops that Pillow makes, which may not be those of the evaluation to the'
    ' last bit.',
  )


def _unit(features: Features) -> np.ndarray:
  x = features.values['encoder']
  return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _majority(label: np.ndarray) -> int:
  """The most frequent label, of equals that of the nearest."""
  values, first, counts = np.unique(
    label, return_index=True, return_counts=True
  )
  return int(values[np.lexsort((first, -counts))[0]])


def _name(material: Material, label: int) -> str:
  names = material.splits.train.class_names
  return names[label] if 0 <= label < len(names) else 'no label'
