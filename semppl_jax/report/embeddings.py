"""Section on the embeddings: deviations, PCA and t-SNE."""

from collections.abc import Iterator, Sequence

import numpy as np

from semppl_jax.evaluators.features import Features
from semppl_jax.report import formatting, plots
from semppl_jax.report.components import Block, Figure, Note
from semppl_jax.report.run_inputs import RunInputs
from semppl_jax.report.run_record import RunRecord

# t-SNE keeps neighbourhoods of this size, of so many principal components.
_PERPLEXITY, _COMPONENTS = 30, 50
_MIN_IMAGES = 12
_DEVIATIONS = {
  'projections': 'deviation/projection',
  'features': 'deviation/features',
}
# The most frequent classes have a color of their own.
_MAX_COLORED = 16


def answers(runs: Sequence[RunRecord]) -> list[str]:
  """Returns a sentence for each run whose deviations are recorded."""
  texts = plots.selection(runs)
  for run in runs[: plots.MAX_NAMED]:
    parts = [
      f'{name} {value:.2f}'
      for name, metric in _DEVIATIONS.items()
      if (value := run.last(metric)) is not None
    ]
    if parts:
      start = f'{run.name}: s' if len(runs) > 1 else 'S'
      texts.append(
        f'{start}tandard deviation over a batch, relative to an even spread:'
        f' {", ".join(parts)}. 1 is even, 0 is a collapse to a point.'
      )
  return texts


def blocks(runs: Sequence[RunRecord]) -> Iterator[Block]:
  """Yields the deviation of the embeddings of a batch, over the run."""
  if not plots.first_label(runs, _DEVIATIONS):
    yield Note('No deviation of embeddings was recorded yet.')
    return
  yield from plots.metric_figure(
    plots.metric_title('Deviation of the embeddings', runs, _DEVIATIONS),
    runs, _DEVIATIONS, y='deviation (1: even)', bottom=0,
    levels={'evenly spread': 1.0},
    good='Good: projections stay near 1 or rise towards it. Below 0.1 all'
    ' embeddings are nearly equal, which is a collapse. Features are lower, as'
    ' no loss spreads them.',
  )  # fmt: skip


def maps(inputs: RunInputs, train: Features) -> Iterator[Block]:
  """Yields PCA and t-SNE of the encoder's features of train images.

  Args:
    inputs: the data of the run.
    train: features of some train images.
  """
  from sklearn.decomposition import PCA
  from sklearn.manifold import TSNE
  from sklearn.preprocessing import normalize

  features = normalize(train.values['encoder'])
  if len(features) < _MIN_IMAGES:
    yield Note(
      f'{formatting.count(len(features), "image")} are too few for a map of the'
      ' features.'
    )
    return
  count = min(_COMPONENTS, *features.shape)
  pca = PCA(count, svd_solver='full').fit(features)
  variance = float(np.nan_to_num(pca.explained_variance_ratio_[:2]).sum())
  components = pca.transform(features)
  tsne = TSNE(
    perplexity=min(_PERPLEXITY, (len(features) - 1) / 3),
    init='pca', random_state=0, max_iter=500, n_jobs=2,
  )  # fmt: skip
  yield _map(
    'PCA of the features',
    components[:, :2],
    train,
    inputs,
    f'The two directions of most variance ({formatting.percent(variance, 0)} of'
    ' it). Good: each class has a direction of its own, and labelled images'
    ' (dark edges) are among the unlabelled ones of their class.',
  )
  yield _map(
    't-SNE of the features',
    tsne.fit_transform(components),
    train,
    inputs,
    f'Of {formatting.count(len(features), "train image")}. Neighbours are'
    ' similar; distances between groups have no meaning. Good: groups of one'
    ' color, with labelled images (dark edges) in each of them.',
  )


def _map(
  title: str,
  places: np.ndarray,
  train: Features,
  inputs: RunInputs,
  good: str,
) -> Figure:
  """Draws images at places [n, 2] in the colors of their classes."""
  label, labelled = train.label, inputs.labelled[train.index]
  classes, counts = np.unique(label[label >= 0], return_counts=True)
  shown = np.sort(classes[np.argsort(-counts, kind='stable')][:_MAX_COLORED])

  def draw(axes: plots.Axes) -> None:
    def points(rows: np.ndarray, name: str, color: str, marker: str) -> None:
      for some, size, edge in ((~labelled, 10, 0.0), (labelled, 20, 0.9)):
        axes.scatter(
          *places[rows & some].T, s=size, linewidths=edge,
          edgecolors='#555555', c=color, marker=marker, rasterized=True,
        )  # fmt: skip
      axes.scatter(
        [], [], s=20, c=color, marker=marker, label=plots.short(name, 16)
      )

    rest = ~np.isin(label, shown)
    if rest.any():
      name = 'no label' if (label[rest] < 0).all() else 'other'
      points(rest, name, '#999999', '.')
    colors = len(plots.CLASS_PALETTE)
    for n, c in enumerate(shown):
      points(
        label == c, inputs.class_name(c), plots.CLASS_PALETTE[n % colors],
        plots.MARKERS[n // colors],
      )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel('first direction, no unit')
    axes.set_ylabel('second direction, no unit')
    plots.legend(axes)

  few = len(shown) < len(classes)
  return plots.figure(
    title,
    draw,
    good
    + (f' The {len(shown)} most frequent classes have colors.' if few else ''),
    {
      'x': plots.rounded(places[:, 0]),
      'y': plots.rounded(places[:, 1]),
      'class': label.tolist(),
      'labelled': labelled.astype(int).tolist(),
      'image': train.index.tolist(),
    },
    height=4.3 + 0.16 * (len(shown) // 3),
  )
