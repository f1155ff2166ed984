"""Frozen outputs of a network on a data set, in eval mode."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
import ml_collections
import numpy as np

from semppl_jax.data.device import augment
from semppl_jax.models.network import Network
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError, StoppedError

# Kinds of features, and where the network's outputs have them.
KINDS = {
  'encoder': 'features',
  'projection': 'projection',
  'prediction': 'prediction',
  'logits': 'logits',
}


class Features(NamedTuple):
  """Features of n images; unreadable ones are left out.

  Attributes:
    values: an array [n, ...], float32, for each kind that was asked for, and
      the normalised pixels under `pixels` where those were.
    label: classes [n], int32, or -1.
    index: positions in the data set [n], int32.
  """

  values: dict[str, np.ndarray]
  label: np.ndarray
  index: np.ndarray

  def select(self, rows: np.ndarray) -> 'Features':
    """Returns the features of `rows`, a mask [n] or positions."""
    values = {kind: value[rows] for kind, value in self.values.items()}
    return Features(values, self.label[rows], self.index[rows])


class UnreadableError(InputError):
  """No image could be read."""


EmbedFn = Callable[[Any, Any, jax.Array], dict[str, jax.Array]]


def make_embed(
  config_augment: ml_collections.ConfigDict | Any,
  network: Network,
  mesh: Mesh,
  kinds: Sequence[str] = ('encoder', 'projection'),
) -> EmbedFn:
  """Returns jitted `(params, state, images [b, H, W, 3] uint8) -> features`.

  The result, [b, ...] for each kind, is whole on every device, so that each
  process can read it. Kinds that the network has no head for are left out.

  Args:
    config_augment: what has `mean` and `std` of the images.
    network: the network.
    mesh: the devices.
    kinds: what to compute, of `KINDS`.
  """
  mean, std = config_augment.mean, config_augment.std

  def embed(params, net_state, images):
    normal = augment.normalize(images, mean, std)
    outputs = network.embed(params, net_state, normal)
    found = {kind: getattr(outputs, KINDS[kind]) for kind in kinds}
    return {kind: x[:, 0] for kind, x in found.items() if x is not None}

  return jax.jit(embed, out_shardings=mesh_lib.replicated(mesh))


def collect(
  batches: Iterator[Any],
  embed: EmbedFn,
  params: Any,
  net_state: Any,
  mesh: Mesh,
  *,
  pixels: bool = False,
  stop: Callable[[], bool] = lambda: False,
) -> Features:
  """Embeds every image of a pass over a data set.

  Args:
    batches: evaluation batches of this process (image, label, index, valid).
    embed: from `make_embed`.
    params: parameters.
    net_state: batch-norm averages.
    mesh: the devices.
    pixels: also keep the pixels, as the features of a floor to compare with.
    stop: asked between batches whether to give up.

  Raises:
    StoppedError: `stop` said so.
    UnreadableError: no image could be read.
  """
  parts = []
  whole = jax.jit(lambda x: x, out_shardings=mesh_lib.replicated(mesh))
  for batch in batches:
    if stop():
      raise StoppedError
    device = mesh_lib.to_global(mesh, batch)
    values = dict(embed(params, net_state, device.image))
    if pixels:
      values['pixels'] = whole(device.image)
    label, index, valid = whole((device.label, device.index, device.valid))
    # Waits for the devices once a batch, after all of it is under way.
    found = Features(*jax.device_get((values, label, index)))
    kept = found.select(np.asarray(valid))
    if pixels:
      kept.values['pixels'] = _standardised(kept.values['pixels'])
    parts.append(kept)
  if not sum(len(part.index) for part in parts):
    raise UnreadableError('None of the images to evaluate can be read.')
  values = {
    kind: np.concatenate([part.values[kind] for part in parts])
    for kind in parts[0].values
  }
  return Features(
    values,
    label=np.concatenate([part.label for part in parts]),
    index=np.concatenate([part.index for part in parts]),
  )


def _standardised(images: np.ndarray) -> np.ndarray:
  """Pixels in [-1, 1] as one vector per image: a floor without a network."""
  flat = images.reshape(len(images), -1).astype(np.float32)
  return flat / 127.5 - 1.0
