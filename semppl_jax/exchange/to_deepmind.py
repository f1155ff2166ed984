"""Exports in the layout of DeepMind's checkpoints.

What is written is as SemPPL's linear evaluation reads it (google-deepmind/
semppl, eval_experiment.py; ReLICv2's does the same): a dict, and an axis over
devices in front of each leaf. Reading such files is `deepmind_state`.
"""

from collections.abc import Callable
import pathlib
import pickle
import re
from typing import Any

import numpy as np

from semppl_jax.exchange import (
  deepmind_import,
  inference,
  metadata,
  weights_dir,
)
from semppl_jax.models.weights import part, Weights, WeightsError

# The same program on the same values: nothing is rounded on the way.
TOLERANCE = 1e-6


def check(weights: Weights, heads: tuple[str, ...]) -> None:
  """Stops on what the released networks do not compute.

  Raises:
    WeightsError: says what, and which formats can.
  """
  del heads  # The released code reads the encoder and lets the others be.
  network = weights.network
  reason = None
  if network.padding != 'same':
    reason = (
      "it pads as PyTorch does (network.padding='torch') and DeepMind's code as"
      " XLA's SAME, so that its features would differ"
    )
  elif not re.fullmatch(r'resnet(50|101|152|200)', network.backbone):
    reason = f'the released code has no {network.backbone} of this kind'
  elif network.selective_kernels or network.stem != 'imagenet':
    reason = (
      'the released code has neither selective kernels nor a stem other than'
      " 'imagenet'"
    )
  elif network.bn_eps != 1e-5:
    reason = (
      f'network.bn_eps is {network.bn_eps} and the released code has 1e-5'
    )
  if reason:
    raise WeightsError(
      f"DeepMind's layout cannot hold this network: {reason}; onnx, stablehlo"
      ' and saved_model hold it exactly.'
    )


def write(path: pathlib.Path, weights: Weights, heads: tuple[str, ...]) -> None:
  """Writes the encoder and `heads` as online and as target network.

  No class of any package is named but NumPy's array, as every version has it.
  """
  kept = inference.carried(weights.network, heads)
  params = part(weights.params, heads=kept)
  net_state = part(weights.net_state, heads=kept)
  state = {
    f'{which}_{name}': {
      module: {k: np.asarray(v)[None] for k, v in group.items()}
      for module, group in tree.items()
    }
    for which in deepmind_import.NETWORKS
    for name, tree in (('params', params), ('state', net_state))
  }
  content = {
    'experiment_state': state,
    'step': 0,
    'rng': np.zeros((1, 2), np.uint32),
  }
  with path.open('wb') as file:
    _Pickler(file, protocol=4).dump(content)


class _Pickler(pickle.Pickler):
  """Writes an array as a call of `numpy.ndarray`.

  By itself NumPy names a function that has another module since version 2, and
  the released code asks for version 1.
  """

  def reducer_override(self, obj: Any) -> Any:
    """Says how an array is made again."""
    if not isinstance(obj, np.ndarray):
      return NotImplemented
    made = np.ascontiguousarray(obj)
    return np.ndarray, (obj.shape, made.dtype.str, made.tobytes())


def read_back(
  path: pathlib.Path,
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
  """Returns what the file computes of uint8 images [n, crop, crop, 3].

  The file has the weights; the normalisation, which the released code fixes,
  and the heads that were asked for are in the side file.
  """
  about = metadata.read(path)
  found = deepmind_import.find(deepmind_import.read(path), str(path))
  weights = found.weights._replace(
    preprocessing=weights_dir.preprocessing(about['preprocessing'])
  )
  return inference.on_host(weights, tuple(about['heads']))
