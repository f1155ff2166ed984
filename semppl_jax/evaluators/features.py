"""Frozen features of a data set: encoder and projector, in eval mode."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
import ml_collections
import numpy as np

from semppl_jax import augment, mesh as mesh_lib
from semppl_jax.network import Network


class Features(NamedTuple):
  """Features of n images; unreadable ones are left out.

  Attributes:
    encoder: encoder outputs [n, F], float32.
    projection: projector outputs [n, D], float32.
    pixels: the normalised pixels themselves [n, P], float32, or None.
    label: classes [n], int32.
    index: positions in the data set [n], int32.
  """

  encoder: np.ndarray
  projection: np.ndarray
  pixels: np.ndarray | None
  label: np.ndarray
  index: np.ndarray


class StoppedError(Exception):
  """A pass over the data was given up because somebody asked."""


EmbedFn = Callable[[Any, Any, jax.Array], tuple[jax.Array, jax.Array]]


def make_embed(
  config: ml_collections.ConfigDict, network: Network, mesh: Mesh
) -> EmbedFn:
  """Returns jitted `(params, state, images [b, H, W, 3] uint8) -> features`.

  The result (encoder [b, F], projection [b, D]) is whole on every device, so
  that each process can read it.
  """
  mean, std = config.augment.mean, config.augment.std

  def embed(params, net_state, images):
    normal = augment.normalize(images, mean, std)
    outputs = network.embed(params, net_state, normal)
    assert outputs.projection is not None
    return outputs.features[:, 0], outputs.projection[:, 0]

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
    params: online parameters.
    net_state: batch-norm averages.
    mesh: the devices.
    pixels: also keep the pixels, as the features of a floor to compare with.
    stop: asked between batches whether to give up.

  Raises:
    StoppedError: `stop` said so.
  """
  parts = []
  whole = jax.jit(lambda x: x, out_shardings=mesh_lib.replicated(mesh))
  for batch in batches:
    if stop():
      raise StoppedError
    device = mesh_lib.to_global(mesh, batch)
    encoder, projection = embed(params, net_state, device.image)
    label, index, valid = whole((device.label, device.index, device.valid))
    keep = np.asarray(valid)
    raw = np.asarray(whole(device.image))[keep] if pixels else None
    parts.append(
      (
        np.asarray(encoder)[keep],
        np.asarray(projection)[keep],
        raw,
        np.asarray(label)[keep],
        np.asarray(index)[keep],
      )
    )
  encoder, projection, raw, label, index = zip(*parts, strict=True)
  return Features(
    encoder=np.concatenate(encoder),
    projection=np.concatenate(projection),
    pixels=_standardised(np.concatenate(raw)) if pixels else None,
    label=np.concatenate(label),
    index=np.concatenate(index),
  )


def _standardised(images: np.ndarray) -> np.ndarray:
  """Pixels in [-1, 1] as one vector per image: a floor without a network."""
  flat = images.reshape(len(images), -1).astype(np.float32)
  return flat / 127.5 - 1.0
