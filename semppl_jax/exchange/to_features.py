"""Export of the features of a data set as `.npz`, without the network.

Names of arrays begin with the split, as in `train_features`:

  features (projection, prediction, logits): outputs [n, .], float32.
  ids: ids of the images, as the labels files name them.
  labels: classes [n], int32, or -1; also those hidden from the run.
  labelled: True for labels that the run could use, bool [n] (train).
  index: positions in the data set [n]; unreadable images are left out.
  pixels: BLAKE2b of each decoded crop, 8 bytes, as uint64 [n].
  hash: SHA-256 over ids and labels of the whole split.

Also: class_names, mean, std, resize, crop, interpolation, labelled_hash (of the
labelled subset) and origin.
"""

from collections.abc import Iterator
import hashlib
import pathlib
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data import dataset, labels, pipeline
from semppl_jax.evaluators import features as features_lib
from semppl_jax.exchange import inference, sample_images
from semppl_jax.exchange.inference import HostFn
from semppl_jax.models.network import HEADS
from semppl_jax.models.weights import Weights, WeightsError
from semppl_jax.runtime import mesh as mesh_lib

# The rows were computed in other batches, perhaps on several devices.
TOLERANCE = 2e-5
SPLITS = ('train', 'test')


def check(weights: Weights, heads: tuple[str, ...]) -> None:
  """Checks that the data can be read."""
  del heads
  _load(weights)


def write(path: pathlib.Path, weights: Weights, heads: tuple[str, ...]) -> None:
  """Embeds train and test set, and writes one file."""
  config, splits, subset = _load(weights)
  mesh = mesh_lib.make_mesh()
  arrays: dict[str, Any] = weights.preprocessing._asdict() | {
    'class_names': np.asarray(splits.train.class_names, str),
    'labelled_hash': subset.hash,
    'origin': weights.origin,
  }
  for name, data in zip(SPLITS, splits, strict=True):
    if data is not None:
      embedded = _embed(config, data, weights, heads, mesh)
      arrays |= {f'{name}_{key}': value for key, value in embedded.items()}
  arrays['train_labelled'] = np.isin(arrays['train_index'], subset.index)
  with path.open('wb') as file:  # Given a name, NumPy would add a suffix.
    np.savez(file, **arrays)


def read_back(path: pathlib.Path) -> HostFn:
  """Returns a function that looks up the rows of images by their pixels.

  The function raises a `KeyError` for an image that is not in the file.
  """
  with np.load(path) as file:
    splits = [name for name in SPLITS if f'{name}_features' in file]
    rows = np.concatenate([file[f'{name}_pixels'] for name in splits])
    values = {
      output: np.concatenate([file[f'{name}_{output}'] for name in splits])
      for output in inference.output_names(HEADS)
      if f'{splits[0]}_{output}' in file
    }
  row_of = {digest: row for row, digest in enumerate(rows.tolist())}

  def look_up(images: np.ndarray) -> dict[str, np.ndarray]:
    indices = [row_of[digest] for digest in _digests(images).tolist()]
    return {output: value[indices] for output, value in values.items()}

  return look_up


def _load(
  weights: Weights,
) -> tuple[ConfigDict, dataset.Splits, labels.LabelSubset]:
  config = sample_images.data_config(weights)
  try:
    splits = dataset.load(config.data)
    return config, splits, labels.select(config.data, splits.train)
  except ValueError as error:
    raise WeightsError(str(error)) from error


def _embed(
  config: ConfigDict,
  data: dataset.Dataset,
  weights: Weights,
  heads: tuple[str, ...],
  mesh: Mesh,
) -> dict[str, np.ndarray | str]:
  """Returns the arrays of one split."""
  apply = inference.make_apply(weights, heads)
  replicated = mesh_lib.replicated(mesh)
  embed = jax.jit(
    lambda params, net_state, images: apply(
      {'params': params, 'net_state': net_state}, images
    ),
    out_shardings=replicated,
  )
  tree = jax.device_put(inference.variables(weights, heads), replicated)
  # This program may have more devices than the run had.
  size = -(-config.eval.batch_size // mesh.size) * mesh.size
  everything = np.arange(data.size, dtype=np.int32)
  batches = pipeline.eval_batches(config, data, everything, size)
  digests: list[np.ndarray] = []
  features = features_lib.collect(
    _with_digests(batches, digests),
    embed,
    tree['params'],
    tree['net_state'],
    mesh,
  )
  return features.values | {
    'ids': data.ids[features.index],
    'labels': data.labels[features.index],
    'index': features.index,
    'pixels': np.concatenate(digests),
    'hash': data.fingerprint,
  }


def _with_digests(
  batches: Iterator[pipeline.EvalBatch], digests: list[np.ndarray]
) -> Iterator[pipeline.EvalBatch]:
  """Passes batches on and appends the digests of their images."""
  for batch in batches:
    digests.append(_digests(batch.image[batch.valid]))
    yield batch


def _digests(images: np.ndarray) -> np.ndarray:
  digests = (hashlib.blake2b(x.tobytes(), digest_size=8) for x in images)
  return np.frombuffer(b''.join(x.digest() for x in digests), '<u8')
