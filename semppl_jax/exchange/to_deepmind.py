"""Export in the layout of DeepMind's checkpoints.

The file is as the linear evaluation of SemPPL and ReLICv2 reads it
(google-deepmind/semppl, eval_experiment.py): a dict whose leaves have a leading
axis of devices. `deepmind_import` reads such files.
"""

import pathlib
import pickle
import re

import numpy as np

from semppl_jax.exchange import (
  deepmind_import,
  inference,
  metadata,
  weights_dir,
)
from semppl_jax.exchange.inference import HostFn
from semppl_jax.models.weights import select_heads, Weights, WeightsError

# The same program on the same values.
TOLERANCE = 1e-6


def check(weights: Weights, heads: tuple[str, ...]) -> None:
  """Checks that the released code computes the same."""
  del heads  # The released code reads only the encoder.
  network = weights.network
  reason = None
  if network.padding != 'same':
    reason = (
      "it pads as PyTorch does (network.padding='torch') and DeepMind's code as"
      " XLA's SAME, so that its features would differ"
    )
  elif not re.fullmatch(r'resnet(50|101|152|200)', network.backbone):
    reason = f'the released code has no {network.backbone}'
  elif network.selective_kernels or network.stem != 'imagenet':
    reason = (
      "the released code has only the stem 'imagenet' without selective kernels"
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
  """Writes the encoder and `heads` as online and target network.

  The only class that the pickle names is `numpy.ndarray`.
  """
  heads = inference.required_heads(weights.network, heads)
  params = select_heads(weights.params, heads=heads)
  net_state = select_heads(weights.net_state, heads=heads)
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
  """Pickles an array as a call of `numpy.ndarray`.

  By default NumPy names a function that moved in version 2, and the released
  code needs version 1.
  """

  def reducer_override(self, obj: object) -> object:
    """Returns the constructor and arguments of an array."""
    if not isinstance(obj, np.ndarray):
      return NotImplemented
    array = np.ascontiguousarray(obj)
    return np.ndarray, (obj.shape, array.dtype.str, array.tobytes())


def read_back(path: pathlib.Path) -> HostFn:
  """Returns the function that the file computes.

  Normalization, which the released code fixes, and heads are in the metadata.
  """
  about = metadata.read(path)
  imported = deepmind_import.import_tree(deepmind_import.read(path), str(path))
  weights = imported.weights._replace(
    preprocessing=weights_dir.preprocessing(about['preprocessing'])
  )
  return inference.make_host_fn(weights, tuple(about['heads']))
