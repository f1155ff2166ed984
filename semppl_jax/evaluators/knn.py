"""k-NN classification of frozen features, with a weighted vote.

Wu et al., "Unsupervised feature learning via non-parametric instance
discrimination", arXiv 1805.01978, section 3.4: cosine similarity, and votes
of weight exp(similarity / temperature).
"""

from collections.abc import Sequence

import jax
from jax.sharding import Mesh
import numpy as np

from semppl_jax import knn, mesh as mesh_lib

_BLOCK = 256


def predict(
  query: np.ndarray,
  support: np.ndarray,
  support_label: np.ndarray,
  k: Sequence[int],
  temperature: float,
  mesh: Mesh,
) -> dict[int, np.ndarray]:
  """Classifies every query for every k.

  Args:
    query: features [M, D], float32; need not be normalised.
    support: features [N, D], float32.
    support_label: classes [N], int32, all known.
    k: numbers of neighbours; those over N count as N.
    temperature: of the weights, > 0.
    mesh: the devices.

  Returns:
    Predicted classes [M] for each k.
  """
  most = min(max(k), len(support))
  similarity, slot = _neighbours(query, support, most, mesh)
  classes = int(support_label.max()) + 1
  label = support_label[slot]
  weight = np.exp((similarity - similarity[:, :1]) / temperature)
  result = {}
  for n in k:
    votes = np.zeros((len(query), classes))
    rows = np.arange(len(query))[:, None]
    np.add.at(votes, (rows, label[:, :n]), weight[:, :n])
    result[n] = votes.argmax(axis=1)
  return result


def top1(
  query: np.ndarray,
  query_label: np.ndarray,
  support: np.ndarray,
  support_label: np.ndarray,
  k: Sequence[int],
  temperature: float,
  mesh: Mesh,
) -> dict[int, float]:
  """Share of queries with a known class that each k classifies right.

  Images without a known class neither vote nor count; where none is left
  there is no share to give.
  """
  known = support_label >= 0
  asked = query_label >= 0
  if not known.any() or not asked.any():
    return {}
  predicted = predict(
    query[asked], support[known], support_label[known], k, temperature, mesh
  )
  truth = query_label[asked]
  return {n: float(np.mean(p == truth)) for n, p in predicted.items()}


def _neighbours(
  query: np.ndarray, support: np.ndarray, k: int, mesh: Mesh
) -> tuple[np.ndarray, np.ndarray]:
  """Pads to whole shards, searches on the devices, and cuts the padding."""
  # A prime number of queries could only be searched one by one.
  block = mesh.size * (_BLOCK if len(query) > _BLOCK else 1)
  padded = _padded(_unit(query), block)
  bank = _padded(_unit(support), mesh.size)
  index = np.arange(len(bank), dtype=np.int32)
  found = _search(
    padded,
    np.full(len(padded), -2, np.int32),
    # Whole on one device, the features of ImageNet would not fit.
    mesh_lib.spread(mesh, bank[None], 1),
    np.where(index < len(support), index, -1),
    index,
    k,
    mesh,
  )
  similarity, slot = jax.device_get(found)
  return similarity[: len(query), 0], slot[: len(query), 0]


def _search(query, query_index, bank, bank_index, age, k: int, mesh: Mesh):
  search = jax.jit(
    knn.top_k,
    static_argnames=('k', 'mesh'),
    out_shardings=mesh_lib.replicated(mesh),
  )
  return search(query, query_index, bank, bank_index, age, k=k, mesh=mesh)


def _unit(x: np.ndarray) -> np.ndarray:
  x = x.astype(np.float32)
  return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _padded(x: np.ndarray, multiple: int) -> np.ndarray:
  short = -len(x) % multiple
  return np.concatenate([x, np.zeros((short, *x.shape[1:]), x.dtype)])
