"""Label propagation over a graph of nearest neighbors.

Zhou et al., "Learning with local and global consistency", NeurIPS 2003, on the
graph of Iscen et al., "Label propagation for deep semi-supervised learning",
arXiv 1904.04717: similar images, labelled or not, pass on their labels. It
predicts the images that are in the graph, and no others.
"""

from jaxtyping import Float, Int
import numpy as np

from semppl_jax.evaluators.linear_model import check_classes

# Relative residual of the linear system, and its most iterations.
_TOLERANCE, _ITERATIONS = 1e-8, 1000


def scores(
  query: Float[np.ndarray, 'M F'],
  support: Float[np.ndarray, 'N F'],
  support_label: Int[np.ndarray, 'N'],
  classes: int,
  *,
  k: int = 10,
  power: float = 3.0,
  alpha: float = 0.9,
) -> Float[np.ndarray, 'M C']:
  """Returns the share of each class in what reaches each image [M, C].

  Solves (I - α S) Z = Y for the normalized affinity S of all images and the
  labels Y. An image that no label reaches has equal shares.

  Args:
    query: features of unlabelled images [M, F].
    support: features of labelled images [N, F].
    support_label: their classes [N], at least 0.
    classes: C.
    k: neighbors of each image in the graph, >= 1.
    power: exponent of the cosines that weigh its edges.
    alpha: share that an image passes on, in (0, 1).

  Raises:
    ValueError: a number outside its range, or a label that is not below C.
  """
  from scipy.sparse import eye_array, linalg

  if k < 1 or not 0 < alpha < 1:
    raise ValueError(
      f'k must be at least 1 and alpha in (0, 1), got {k} and {alpha}.'
    )
  check_classes(support_label, classes)
  affinity = _affinity(np.concatenate([query, support]), k, power)
  system = eye_array(affinity.shape[0]) - alpha * affinity
  labels = np.zeros((len(query) + len(support), classes))
  labels[len(query) + np.arange(len(support)), support_label] = 1
  reached = np.stack(
    [
      linalg.cg(system, column, rtol=_TOLERANCE, maxiter=_ITERATIONS)[0]
      for column in labels.T
    ],
    axis=1,
  )
  # Of a class with more labels more would arrive.
  counts = np.maximum(np.bincount(support_label, minlength=classes), 1)
  shares = np.maximum(reached[: len(query)], 0) / counts[None, :]
  total = shares.sum(axis=1, keepdims=True)
  equal = np.full_like(shares, 1 / classes)
  return np.where(total > 0, shares / np.where(total > 0, total, 1), equal)


def _affinity(features: np.ndarray, k: int, power: float):
  """Returns D^-1/2 W D^-1/2, sparse, W symmetric with a zero diagonal."""
  from scipy.sparse import coo_array, diags_array
  from sklearn.neighbors import NearestNeighbors

  count = len(features)
  nearest = NearestNeighbors(n_neighbors=min(k + 1, count), metric='cosine')
  distance, place = nearest.fit(features).kneighbors(features)
  row = np.repeat(np.arange(count), place.shape[1])
  weight = np.maximum(1 - distance, 0).ravel() ** power
  # An image is its own neighbor, not always the first among equal ones.
  weight = np.where(place.ravel() == row, 0.0, weight)
  graph = coo_array((weight, (row, place.ravel())), (count, count)).tocsr()
  graph = graph.maximum(graph.T)
  degree = np.asarray(graph.sum(axis=1)).ravel()
  scale = diags_array(np.where(degree > 0, degree, 1) ** -0.5)
  return scale @ graph @ scale
