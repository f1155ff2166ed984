"""Features of a data set: frozen outputs of a network in evaluation mode."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float32, Int, Int32, PyTree, UInt8
from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data.device import augment
from semppl_jax.data.pipeline import EvalBatch
from semppl_jax.models.network import Network
from semppl_jax.models.weights import Preprocessing
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError, StoppedError

# Kinds of features, and the fields of the network's outputs with them.
KINDS = {
  'encoder': 'features',
  'projection': 'projection',
  'prediction': 'prediction',
  'logits': 'logits',
}


class Features(NamedTuple):
  """Features of n images, without unreadable ones.

  Attributes:
    values: an array [n, ...], float32, for each kind that was requested; the
      normalized pixels are `pixels`.
    label: classes [n], int32, or -1.
    index: positions in the data set [n], int32.
  """

  values: dict[str, Float32[np.ndarray, 'n ...']]
  label: Int32[np.ndarray, 'n']
  index: Int32[np.ndarray, 'n']

  def select(
    self, rows: Bool[np.ndarray, 'n'] | Int[np.ndarray, 'm']
  ) -> 'Features':
    """Returns the features of `rows`, a mask [n] or positions [m]."""
    values = {kind: value[rows] for kind, value in self.values.items()}
    return Features(values, self.label[rows], self.index[rows])


class UnreadableError(InputError):
  """No image could be read."""


EmbedFn = Callable[[PyTree, PyTree, Array], dict[str, Array]]


def make_embed(
  normalization: ConfigDict | Preprocessing,
  network: Network,
  mesh: Mesh,
  kinds: Sequence[str] = ('encoder', 'projection'),
) -> EmbedFn:
  """Returns jitted `(params, state, images [b, H, W, 3] uint8) -> features`.

  The features, [b, ...] for each kind, are replicated over the devices, so that
  each process can read them. Kinds without a head of the network are left out.

  Args:
    normalization: has `mean` and `std` of the images: `config.augment` or a
      `Preprocessing`.
    network: the network.
    mesh: the devices.
    kinds: the features, of `KINDS`.
  """
  mean, std = normalization.mean, normalization.std

  def embed(params, net_state, images: UInt8[Array, 'b H W 3']):
    outputs = network.embed(
      params, net_state, augment.normalize(images, mean, std)
    )
    values = {kind: getattr(outputs, KINDS[kind]) for kind in kinds}
    return {kind: x[:, 0] for kind, x in values.items() if x is not None}

  return jax.jit(embed, out_shardings=mesh_lib.replicated(mesh))


def collect(
  batches: Iterator[EvalBatch],
  embed: EmbedFn,
  params: PyTree,
  net_state: PyTree,
  mesh: Mesh,
  *,
  pixels: bool = False,
  stop: Callable[[], bool] = lambda: False,
) -> Features:
  """Embeds every image of a pass over a data set.

  Args:
    batches: evaluation batches of this process.
    embed: from `make_embed`.
    params: parameters.
    net_state: batch-norm averages.
    mesh: the devices.
    pixels: also return the pixels, in [-1, 1], as features of a baseline.
    stop: called between batches; True ends the pass.

  Raises:
    StoppedError: `stop` returned True.
    UnreadableError: no image could be read.
  """
  parts = []
  replicate = jax.jit(lambda x: x, out_shardings=mesh_lib.replicated(mesh))
  for batch in batches:
    if stop():
      raise StoppedError
    device = mesh_lib.to_global(mesh, batch)
    values = dict(embed(params, net_state, device.image))
    if pixels:
      values['pixels'] = replicate(device.image)
    label, index, valid = replicate((device.label, device.index, device.valid))
    # Waits for the devices once a batch, after all of it is under way.
    part = Features(*jax.device_get((values, label, index)))
    part = part.select(np.asarray(valid))
    if pixels:
      flat = part.values['pixels'].reshape(len(part.index), -1)
      part.values['pixels'] = flat.astype(np.float32) / 127.5 - 1.0
    parts.append(part)
  if not any(len(part.index) for part in parts):
    raise UnreadableError('None of the images to evaluate can be read.')
  return jax.tree.map(lambda *x: np.concatenate(x), *parts)
