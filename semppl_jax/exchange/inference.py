"""What the graph formats serve: from pixels to features, in one function.

The convolutions are float32 whatever the run's precision: the weights are kept
in float32, and no other library rounds where XLA does in bfloat16, so that only
float32 can agree with the original to more than two digits.
"""

from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np

from semppl_jax.data.device import augment
from semppl_jax.models.network import HEADS, make_network
from semppl_jax.models.weights import part, Weights, WeightsError

Array = jax.Array
Outputs = dict[str, Array]

# What each head adds to the features.
OUTPUT = {
  'projector': 'projection',
  'predictor': 'prediction',
  'prototypes': 'scores',
  'classifier': 'logits',
}
# Where one message or file of a format ends; the rest is for the graph.
_MOST_BYTES = 2**31 - 2**24


def outputs(heads: tuple[str, ...]) -> tuple[str, ...]:
  """Names of what is served with `heads`, features first."""
  return 'features', *(OUTPUT[head] for head in HEADS if head in heads)


def carried(
  network: ml_collections.ConfigDict, heads: tuple[str, ...]
) -> tuple[str, ...]:
  """Returns `heads` and those that they stand on, in the order of `HEADS`."""
  hidden = (
    'classifier' in heads and network.classifier.input == 'projector_hidden'
  )
  standing = hidden or {'predictor', 'prototypes'} & set(heads)
  below = ('projector',) if standing else ()
  return tuple(head for head in HEADS if head in {*heads, *below})


def variables(weights: Weights, heads: tuple[str, ...] = ()) -> dict[str, Any]:
  """The arrays that `make_apply` reads.

  Of the batch norms' state only the averages: their counters serve training.
  """
  kept = carried(weights.network, heads)
  averages = {
    module: {'average': group['average']}
    for module, group in part(weights.net_state, heads=kept).items()
  }
  return {'params': part(weights.params, heads=kept), 'net_state': averages}


def make_apply(
  weights: Weights, heads: tuple[str, ...] = ()
) -> Callable[[dict[str, Any], Array], Outputs]:
  """Returns `(variables, images uint8 [B, H, W, 3]) -> outputs [B, .]`.

  Args:
    weights: the network; of its arrays nothing is read.
    heads: heads whose outputs are served beside the features.
  """
  settings = ml_collections.ConfigDict(weights.network.to_dict())
  settings.precision = 'float32'
  network = make_network(
    settings, heads=carried(settings, heads), bn_groups='view'
  )
  mean, std = weights.preprocessing.mean, weights.preprocessing.std

  def apply(tree, images):
    # By default a TPU multiplies float32 in bfloat16, and a GPU in TF32.
    with jax.default_matmul_precision('highest'):
      normal = augment.normalize(images, mean, std)
      made = network.embed(tree['params'], tree['net_state'], normal)
    return {name: getattr(made, name)[:, 0] for name in outputs(heads)}

  return apply


def make(
  weights: Weights, heads: tuple[str, ...] = ()
) -> Callable[[Array], Outputs]:
  """Returns `(images uint8 [B, H, W, 3]) -> outputs [B, .]`, weights inside."""
  apply, tree = make_apply(weights, heads), variables(weights, heads)
  return lambda images: apply(tree, images)


def on_host(
  weights: Weights, heads: tuple[str, ...] = ()
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
  """Returns `make`'s function compiled, from and to NumPy arrays."""
  # As an argument: a compiler would keep copies of weights in the program.
  tree = jax.device_put(variables(weights, heads))
  compiled = jax.jit(make_apply(weights, heads))
  return lambda images: dict(jax.device_get(compiled(tree, images)))


def image_shape(weights: Weights) -> tuple[int, int, int]:
  """Shape of one image: height, width, colours."""
  crop = weights.preprocessing.crop
  return crop, crop, 3


def output_shapes(
  weights: Weights, heads: tuple[str, ...] = ()
) -> dict[str, tuple[int, ...]]:
  """Shape of each output for one image."""
  image = jax.ShapeDtypeStruct((1, *image_shape(weights)), np.uint8)
  made = jax.eval_shape(
    make_apply(weights, heads), variables(weights, heads), image
  )
  return {name: made[name].shape[1:] for name in outputs(heads)}


def check_size(weights: Weights, heads: tuple[str, ...], what: str) -> None:
  """Stops on more weights than fit a format of 2 GiB.

  Args:
    weights: what is to be written.
    heads: heads to write.
    what: the format, for the message.

  Raises:
    WeightsError: they do not fit.
  """
  size = sum(x.nbytes for x in jax.tree.leaves(variables(weights, heads)))
  if size > _MOST_BYTES:
    raise WeightsError(
      f'{what} holds at most 2 GiB in one file, and {weights.origin} has'
      f' {size / 2**30:.1f} GiB of weights; safetensors and saved_model hold'
      ' any size.'
    )
