"""How is the space? Projections of features to the plane, and deviations."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from semppl_jax.evaluators.features import Features
from semppl_jax.report import compared, formatting, plots
from semppl_jax.report.components import Block, Figure, Note
from semppl_jax.report.run_inputs import Material
from semppl_jax.report.run_record import Course

# t-SNE keeps neighbourhoods of these sizes, and sees so many components.
_PERPLEXITY, _COMPONENTS = 30, 50
_FEWEST = 12
_DEVIATIONS = {
  'projections': 'deviation/projection',
  'features': 'deviation/features',
}
# Classes that have colours of their own, the most frequent ones.
_COLOURED = 16


def deviations(courses: Sequence[Course]) -> Iterator[Block]:
  """How far the embeddings of a batch lie apart, over the run."""
  lines = compared.curves(courses, _DEVIATIONS)
  if not lines:
    yield Note('No deviation of embeddings is recorded yet.')
    return
  title = compared.title('Deviation of the embeddings', courses, _DEVIATIONS)
  drawn = plots.lines(
    title, lines, x=compared.axis(courses), y='deviation (1: even)', bottom=0,
    levels={'evenly spread': 1.0},
  )  # fmt: skip
  yield Figure(
    title,
    drawn,
    'Good: projections stay near 1 or rise towards it; below 0.1 all embeddings'
    ' are nearly alike, which is a collapse. Features, which no loss spreads,'
    ' lie lower.',
    compared.data(lines),
  )


def answer(courses: Sequence[Course]) -> list[str]:
  """A sentence of each run whose deviations are recorded."""
  found = compared.only_first(courses)
  for course in courses[: compared.NAMED]:
    parts = [
      f'{name} {value:.2f}'
      for name, metric in _DEVIATIONS.items()
      if (value := compared.last(course, metric)) is not None
    ]
    if parts:
      run = f'{course.name}: d' if len(courses) > 1 else 'D'
      found.append(
        f'{run}eviation over a batch: {", ".join(parts)}; 1 is an even spread,'
        ' 0 a point.'
      )
  return found


def maps(material: Material, train: Features) -> Iterator[Block]:
  """PCA and t-SNE of the encoder's features of train images.

  Args:
    material: the run's data.
    train: features of some train images.
  """
  features = train.values['encoder']
  if len(features) < _FEWEST:
    yield Note(
      f'{formatting.count(len(features), "image")} are too few for a map of the'
      ' features.'
    )
    return
  known = material.known[train.index]
  components, share = _pca(features)
  names = material.splits.train.class_names
  yield _map(
    'PCA of the features',
    components[:, :2],
    train,
    known,
    names,
    f'The two directions of most variance, {formatting.percent(share, 0)} of'
    ' it. Good: classes lie in directions of their own, and labelled images'
    ' (dark rims) among the unlabelled ones of their class.',
  )
  yield _map(
    't-SNE of the features',
    _tsne(components[:, :_COMPONENTS]),
    train,
    known,
    names,
    f'Of {formatting.count(len(features), "train image")}; near is alike,'
    ' distances between islands mean nothing. Good: islands of one colour, with'
    ' rims in each of them.',
  )


def _pca(features: np.ndarray) -> tuple[np.ndarray, float]:
  """Components by falling variance [n, .], and the share of the first two."""
  from sklearn.decomposition import PCA

  unit = features / np.maximum(
    np.linalg.norm(features, axis=1, keepdims=True), 1e-12
  )
  count = min(_COMPONENTS, *unit.shape)
  found = PCA(count, svd_solver='full').fit(unit)
  share = float(np.nan_to_num(found.explained_variance_ratio_[:2]).sum())
  return found.transform(unit), share


def _tsne(components: np.ndarray) -> np.ndarray:
  from sklearn.manifold import TSNE

  perplexity = min(_PERPLEXITY, (len(components) - 1) / 3)
  made = TSNE(
    perplexity=perplexity, init='pca', random_state=0, max_iter=500, n_jobs=2
  )
  return made.fit_transform(components)


def _map(
  title: str,
  places: np.ndarray,
  train: Features,
  known: np.ndarray,
  names: Sequence[str],
  good: str,
) -> Figure:
  label = train.label
  classes, counts = np.unique(label[label >= 0], return_counts=True)
  shown = classes[np.argsort(-counts, kind='stable')][:_COLOURED]
  coloured = {int(c): n for n, c in enumerate(np.sort(shown))}

  def draw(axes: Any) -> None:
    rest = ~np.isin(label, list(coloured))
    if rest.any():
      title = 'no label' if (label[rest] < 0).all() else 'other'
      _points(axes, places[rest], known[rest], '#999999', '.', title)
    colours = len(plots.FIXED)
    for c, n in coloured.items():
      own = label == c
      _points(
        axes, places[own], known[own], plots.FIXED[n % colours],
        plots.MARKERS[n // colours], names[c],
      )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel('first direction, no unit')
    axes.set_ylabel('second direction, no unit')
    plots.legend(axes)

  few = len(classes) - len(shown)
  more = f' The {len(shown)} most frequent classes have colours.' if few else ''
  size = plots.SIZE[0], 4.3 + 0.16 * (len(coloured) // 3)
  return Figure(
    title,
    plots.svg(title, draw, size),
    good + more,
    {
      'x': plots.rounded(places[:, 0]),
      'y': plots.rounded(places[:, 1]),
      'class': label.tolist(),
      'labelled': known.astype(int).tolist(),
      'image': train.index.tolist(),
    },
  )


def _points(axes, places, known, colour, marker, name) -> None:
  style = dict(c=colour, marker=marker, rasterized=True)
  for rows, size, rim in ((~known, 10, 0.0), (known, 20, 0.9)):
    axes.scatter(
      places[rows, 0], places[rows, 1], s=size, linewidths=rim,
      edgecolors='#555555', **style,
    )  # fmt: skip
  axes.scatter([], [], s=20, label=plots.short(name, 16), **style)
