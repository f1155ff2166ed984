"""The mask network: an encoder-decoder with a map for each of its heads.

Small, since it learns from a few thousand images: after Nguyen et al.,
"DeepUSPS", NeurIPS 2019, whose network is a dilated residual one of ImageNet
size. What stands out is judged against the border of the image, as in the
detectors that it learns from, so its deepest features see the border's mean.
"""

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

# Powers of two of the width, from the maps' resolution down.
_DEPTHS = (1, 2, 4, 8)
_GROUPS = 4


Params = hk.Params


class Settings(NamedTuple):
  """The shape of a network.

  Attributes:
    heads: names of its maps; H is their number.
    side: of the square images it sees S, in pixels; a multiple of 16.
    width: channels at the maps' resolution, S / 2; a multiple of 4.
  """

  heads: tuple[str, ...]
  side: int = 96
  width: int = 16


def make(settings: Settings) -> hk.Transformed:
  """Returns the network, without state or random numbers.

  Returns:
    `init(rng, images)` and `apply(params, images)`: from uint8
    [B, S, S, 3], sRGB, to logits [B, S / 2, S / 2, H], float32.
  """

  def forward(images: jax.Array) -> jax.Array:
    x = _conv(settings.width, 5, 2)(_input(images))
    kept = []
    for depth in _DEPTHS:
      x = _block(x if not kept else _halve(x), depth * settings.width)
      kept.append(x)
    x += hk.Linear(x.shape[-1], name='context')(_context(x))[:, None, None]
    for depth, beside in zip(_DEPTHS[-2::-1], kept[-2::-1], strict=True):
      x = jnp.concatenate([_double(x), beside], axis=-1)
      x = _block(x, depth * settings.width)
    return hk.Conv2D(len(settings.heads), 1, name='heads')(x)

  return hk.without_apply_rng(hk.transform(forward))


def _input(images: jax.Array) -> jax.Array:
  """Colours about 0, and where each pixel is."""
  colours = images.astype(jnp.float32) / 127.5 - 1
  place = jnp.linspace(-1, 1, images.shape[1])
  y, x = jnp.meshgrid(place, place, indexing='ij')
  where = jnp.broadcast_to(jnp.stack([y, x], -1), (*images.shape[:3], 2))
  return jnp.concatenate([colours, where], axis=-1)


def _block(x: jax.Array, channels: int) -> jax.Array:
  for _ in range(2):
    x = jax.nn.relu(_norm()(_conv(channels, 3, 1)(x)))
  return x


def _conv(channels: int, kernel: int, stride: int) -> hk.Conv2D:
  return hk.Conv2D(channels, kernel, stride, with_bias=False)


def _norm() -> hk.GroupNorm:
  # Not by batch: the mask of an image is of that image alone.
  return hk.GroupNorm(_GROUPS)


def _context(x: jax.Array) -> jax.Array:
  """Means over the image and over its border [B, 2 * channels]."""
  sides = x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]
  border = jnp.concatenate(sides, axis=1).mean(1)
  return jnp.concatenate([x.mean((1, 2)), border], axis=-1)


def _halve(x: jax.Array) -> jax.Array:
  return hk.max_pool(x, (2, 2, 1), (2, 2, 1), 'VALID')


def _double(x: jax.Array) -> jax.Array:
  batch, height, width, channels = x.shape
  return jax.image.resize(x, (batch, 2 * height, 2 * width, channels), 'linear')
