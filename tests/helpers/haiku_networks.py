"""Haiku's own networks on a file in DeepMind's layout.

DeepMind's networks are `hk.nets.ResNet` without its last layer; the wider ones
have a wider first layer too (google-deepmind/deepmind-research, byol/utils/
networks.py).
"""

from collections.abc import Callable
import pathlib
import pickle

import haiku as hk
import jax
import numpy as np

from semppl_jax.models.weights import Preprocessing


def resnet(depth: int, width: int = 1) -> dict:
  """Arguments of `hk.nets.ResNet` for a depth and a width."""
  plan = hk.nets.ResNet.CONFIGS[depth]
  channels = tuple(width * x for x in plan['channels_per_group'])
  return plan | dict(
    channels_per_group=channels,
    initial_conv_config=dict(output_channels=64 * width),
  )


def released_code(path: pathlib.Path) -> list[dict]:
  """Loads as SemPPL's eval_experiment: `get_first` of the online trees."""
  content = pickle.loads(path.read_bytes())
  assert f'{content["step"]:d}' == '0'
  state = content['experiment_state']
  return [
    jax.tree.map(lambda x: np.array(x[0]), state[name])
    for name in ('online_params', 'online_state')
  ]


def run(
  path: pathlib.Path, plan: dict, preprocessing: Preprocessing
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
  """Returns what Haiku computes with a file: uint8 images to features.

  Args:
    path: the pickle.
    plan: arguments of `hk.nets.ResNet`.
    preprocessing: has the normalisation.
  """
  params, state = released_code(path)
  (root,) = {k.split('/')[0] for k in params if 'res_net' in k}
  features = plan['channels_per_group'][-1]
  # Haiku's network cannot do without its last layer: one that changes nothing.
  params[f'{root}/~/logits'] = {
    'w': np.eye(features, dtype=np.float32),
    'b': np.zeros(features, np.float32),
  }

  def forward(x):
    made = hk.nets.ResNet(num_classes=features, name=root, **plan)
    return made(x, is_training=False)

  apply = jax.jit(hk.transform_with_state(forward).apply)
  mean, std = np.float32(preprocessing.mean), np.float32(preprocessing.std)

  def compute(images: np.ndarray) -> dict[str, np.ndarray]:
    normal = (images.astype(np.float32) / 255 - mean) / std
    # Haiku mixes dtypes and ranks, which the tests forbid elsewhere.
    with (
      jax.numpy_dtype_promotion('standard'),
      jax.numpy_rank_promotion('allow'),
    ):
      return {'features': np.asarray(apply(params, state, None, normal)[0])}

  return compute
