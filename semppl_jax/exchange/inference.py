"""Inference function of a network, from uint8 pixels to features and heads.

The convolutions are in float32 whatever the precision of the run: the weights
are float32, and no other library rounds bfloat16 as XLA does, so that only
float32 can agree with the original to more than two digits.
"""

from collections.abc import Callable

import jax
from jaxtyping import PyTree
import ml_collections
import numpy as np

from semppl_jax.data.device import augment
from semppl_jax.models.network import HEADS, make_network
from semppl_jax.models.weights import select_heads, Weights, WeightsError

Array = jax.Array
Outputs = dict[str, Array]
# From images uint8 [n, crop, crop, 3] to outputs by name [n, .].
HostFn = Callable[[np.ndarray], dict[str, np.ndarray]]

# Output of each head.
OUTPUT = {
  'projector': 'projection',
  'predictor': 'prediction',
  'prototypes': 'scores',
  'classifier': 'logits',
}
# Largest file of some formats, less a part for the graph.
_MAX_BYTES = 2**31 - 2**24


def output_names(heads: tuple[str, ...]) -> tuple[str, ...]:
  """Returns the names of the outputs with `heads`, features first."""
  return 'features', *(OUTPUT[head] for head in HEADS if head in heads)


def required_heads(
  network: ml_collections.ConfigDict, heads: tuple[str, ...]
) -> tuple[str, ...]:
  """Returns `heads` and those below them, in the order of `HEADS`."""
  hidden = (
    'classifier' in heads and network.classifier.input == 'projector_hidden'
  )
  projected = hidden or {'predictor', 'prototypes'} & set(heads)
  below = ('projector',) if projected else ()
  return tuple(head for head in HEADS if head in {*heads, *below})


def variables(
  weights: Weights, heads: tuple[str, ...] = ()
) -> dict[str, PyTree]:
  """Returns the arrays for `make_apply`, without the counters of averages."""
  kept = required_heads(weights.network, heads)
  averages = {
    module: {'average': group['average']}
    for module, group in select_heads(weights.net_state, heads=kept).items()
  }
  return {
    'params': select_heads(weights.params, heads=kept),
    'net_state': averages,
  }


def make_apply(
  weights: Weights, heads: tuple[str, ...] = ()
) -> Callable[[PyTree, Array], Outputs]:
  """Returns `(variables, images uint8 [B, H, W, 3]) -> outputs [B, .]`.

  Args:
    weights: the network; its arrays are not read.
    heads: heads whose outputs are returned beside the features.
  """
  config = ml_collections.ConfigDict(weights.network.to_dict())
  config.precision = 'float32'
  network = make_network(
    config, heads=required_heads(config, heads), bn_groups='view'
  )
  mean, std = weights.preprocessing.mean, weights.preprocessing.std

  def apply(tree, images):
    # The default for float32 is bfloat16 on TPUs and TF32 on GPUs.
    with jax.default_matmul_precision('highest'):
      normal = augment.normalize(images, mean, std)
      outputs = network.embed(tree['params'], tree['net_state'], normal)
    return {name: getattr(outputs, name)[:, 0] for name in output_names(heads)}

  return apply


def make_fn(
  weights: Weights, heads: tuple[str, ...] = ()
) -> Callable[[Array], Outputs]:
  """Returns `(images uint8 [B, H, W, 3]) -> outputs [B, .]`, weights inside."""
  apply, tree = make_apply(weights, heads), variables(weights, heads)
  return lambda images: apply(tree, images)


def make_host_fn(weights: Weights, heads: tuple[str, ...] = ()) -> HostFn:
  """Returns the compiled function from and to NumPy arrays."""
  # As an argument, since a program would hold another copy of the weights.
  tree = jax.device_put(variables(weights, heads))
  compiled = jax.jit(make_apply(weights, heads))
  return lambda images: dict(jax.device_get(compiled(tree, images)))


def image_shape(weights: Weights) -> tuple[int, int, int]:
  """Returns the shape of one image: height, width, channels."""
  crop = weights.preprocessing.crop
  return crop, crop, 3


def output_shapes(
  weights: Weights, heads: tuple[str, ...] = ()
) -> dict[str, tuple[int, ...]]:
  """Returns the shape of each output for one image."""
  image = jax.ShapeDtypeStruct((1, *image_shape(weights)), np.uint8)
  shapes = jax.eval_shape(
    make_apply(weights, heads), variables(weights, heads), image
  )
  return {name: shapes[name].shape[1:] for name in output_names(heads)}


def check_size(
  weights: Weights, heads: tuple[str, ...], format_name: str
) -> None:
  """Checks that the weights fit a format of at most 2 GiB.

  Raises:
    WeightsError: they do not.
  """
  size = sum(x.nbytes for x in jax.tree.leaves(variables(weights, heads)))
  if size > _MAX_BYTES:
    raise WeightsError(
      f'{format_name} holds at most 2 GiB in one file, and {weights.origin} has'
      f' {size / 2**30:.1f} GiB of weights; safetensors and saved_model hold'
      ' any size.'
    )
