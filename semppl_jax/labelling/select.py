"""Choice of the images to label: one near each center of k-means.

With as many clusters as images to label, each label stands for a group of
similar images (SKMPS of PAWS-VMK, arXiv 2311.17093).
"""

import numpy as np


def choose(features: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
  """Returns the rows of `count` images, those of the largest clusters first.

  Args:
    features: [n, F], n at least `count`.
    count: number of clusters and images.
    seed: of the first centers.

  Returns:
    Distinct rows, int64 [count].
  """
  from sklearn.cluster import KMeans
  from sklearn.preprocessing import normalize

  unit = normalize(features)
  # More clusters than different images would be empty.
  different = len(np.unique(unit, axis=0))
  fitted = KMeans(min(count, different), n_init=10, random_state=seed).fit(unit)
  sizes = np.bincount(fitted.labels_, minlength=fitted.n_clusters)
  cosines = unit @ normalize(fitted.cluster_centers_).T
  rows: list[int] = []
  for cluster in np.argsort(-sizes, kind='stable'):
    own = np.flatnonzero(fitted.labels_ == cluster)
    rows.append(int(own[cosines[own, cluster].argmax()]))
  rest = np.setdiff1d(np.arange(len(unit)), rows)
  return np.asarray([*rows, *rest[: count - len(rows)]])
