"""Features of a whole data set as `.npz`, for whoever wants no network.

Each array of a split begins with its name, as in `train_features`:

  features (projection, prediction, logits): outputs [n, .], float32.
  ids: ids of the images, as the labels files name them.
  labels: classes [n], int32, or -1; also of images that the run had to do
    without.
  labelled: whether the run could know the label, bool [n] (train).
  index: positions in the data set [n]; unreadable images are left out.
  pixels: BLAKE2b of each decoded crop, 8 bytes, as uint64 [n].
  hash: SHA-256 over ids and labels of the whole split.

Beside them: class_names, mean, std, resize, crop, interpolation, labelled_hash
(of the labelled subset) and origin.
"""

from collections.abc import Callable, Iterator
import hashlib
import pathlib
from typing import Any

import jax
from jax.sharding import Mesh
import numpy as np

from semppl_jax.data import dataset, labels, pipeline
from semppl_jax.evaluators import features as features_lib
from semppl_jax.exchange import inference, sample_images
from semppl_jax.models.network import HEADS
from semppl_jax.models.weights import Weights, WeightsError
from semppl_jax.runtime import mesh as mesh_lib

# Largest difference, over the largest value of an output: the rows were made in
# another batch and perhaps over several devices.
TOLERANCE = 2e-5
SPLITS = ('train', 'test')


def check(weights: Weights, heads: tuple[str, ...]) -> None:
  """Stops where there is no data to make features of.

  Raises:
    WeightsError: the weights name no data, or it cannot be read.
  """
  del heads
  _load(weights)


def write(path: pathlib.Path, weights: Weights, heads: tuple[str, ...]) -> None:
  """Embeds train and test set, and writes one file.

  Raises:
    WeightsError: as `check`.
  """
  config, splits, subset = _load(weights)
  mesh = mesh_lib.make_mesh()
  arrays: dict[str, Any] = weights.preprocessing._asdict() | {
    'class_names': np.asarray(splits.train.class_names, str),
    'labelled_hash': subset.hash,
    'origin': weights.origin,
  }
  for name, data in zip(SPLITS, splits, strict=True):
    if data is not None:
      made = _embedded(config, data, weights, heads, mesh)
      arrays |= {f'{name}_{key}': value for key, value in made.items()}
  arrays['train_labelled'] = np.isin(arrays['train_index'], subset.index)
  with path.open('wb') as file:  # By name, NumPy would add a suffix.
    np.savez(file, **arrays)


def read_back(
  path: pathlib.Path,
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
  """Returns the rows of images [n, crop, crop, 3], found by their pixels.

  The function raises a `KeyError` for an image that the file has not.
  """
  with np.load(path) as file:
    splits = [name for name in SPLITS if f'{name}_features' in file]
    rows = np.concatenate([file[f'{name}_pixels'] for name in splits])
    values = {
      output: np.concatenate([file[f'{name}_{output}'] for name in splits])
      for output in inference.outputs(HEADS)
      if f'{splits[0]}_{output}' in file
    }
  place = {digest: row for row, digest in enumerate(rows.tolist())}

  def find(images: np.ndarray) -> dict[str, np.ndarray]:
    found = [place[digest] for digest in _digests(images).tolist()]
    return {output: value[found] for output, value in values.items()}

  return find


def _load(weights: Weights) -> tuple[Any, dataset.Splits, labels.LabelSubset]:
  config = sample_images.config_of(weights)
  try:
    splits = dataset.load(config.data)
    return config, splits, labels.select(config.data, splits.train)
  except ValueError as error:
    raise WeightsError(str(error)) from error


def _embedded(
  config: Any,
  data: dataset.Dataset,
  weights: Weights,
  heads: tuple[str, ...],
  mesh: Mesh,
) -> dict[str, Any]:
  """Arrays of one split."""
  apply = inference.make_apply(weights, heads)
  whole = mesh_lib.replicated(mesh)
  embed = jax.jit(
    lambda params, net_state, images: apply(
      {'params': params, 'net_state': net_state}, images
    ),
    out_shardings=whole,
  )
  tree = jax.device_put(inference.variables(weights, heads), whole)
  # The run may have had fewer devices.
  size = -(-config.eval.batch_size // mesh.size) * mesh.size
  everything = np.arange(data.size, dtype=np.int32)
  batches = pipeline.eval_batches(config, data, everything, size)
  digests: list[np.ndarray] = []
  found = features_lib.collect(
    _noting(batches, digests), embed, tree['params'], tree['net_state'], mesh
  )
  return found.values | {
    'ids': data.ids[found.index],
    'labels': data.labels[found.index],
    'index': found.index,
    'pixels': np.concatenate(digests),
    'hash': data.fingerprint,
  }


def _noting(
  batches: Iterator[pipeline.EvalBatch], digests: list[np.ndarray]
) -> Iterator[pipeline.EvalBatch]:
  """Passes batches on and keeps the digests of their images."""
  for batch in batches:
    digests.append(_digests(batch.image[batch.valid]))
    yield batch


def _digests(images: np.ndarray) -> np.ndarray:
  found = [hashlib.blake2b(x.tobytes(), digest_size=8).digest() for x in images]
  return np.frombuffer(b''.join(found), '<u8')
