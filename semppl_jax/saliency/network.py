"""Mask network: an encoder-decoder with a map for each of its heads.

Small, since it is trained on a few thousand images: after Nguyen et al.,
"DeepUSPS", NeurIPS 2019, whose network is a dilated residual one of ImageNet
size. As in the detectors that it learns from, saliency is difference from the
border of the image: its input has the difference of each pixel's color from
those of each side, and its deepest features see the border's mean. As similar
regions of the detectors share values, its deep features do, by attention.
"""

import functools
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

# Powers of two of the width, from the maps' resolution down.
_DEPTHS = (1, 2, 4, 8)
_ATTENTIVE = 4  # From this depth on: for finer features, it is slow.
_GROUPS = 4
_ATTENTION_HEADS = 4
# Choices: share of the image that is a side, 1 / _RIM; and least standard
# deviation of the colors of a side, which are in [-1, 1].
_RIM = 12
_LEAST_SPREAD = 0.025
Params = hk.Params


class Settings(NamedTuple):
  """The shape of a network.

  Attributes:
    heads: names of its maps; H is their number.
    side: of the square input images S, in pixels; a multiple of 16.
    width: channels at the maps' resolution, S / 2; a multiple of 4.
  """

  heads: tuple[str, ...]
  side: int = 96
  width: int = 16


def make_network(settings: Settings) -> hk.Transformed:
  """Returns the network, without state or random numbers.

  Returns:
    `init(rng, images)` and `apply(params, images)`: from uint8
    [B, S, S, 3], sRGB, to logits [B, S / 2, S / 2, H], float32.
  """

  def forward(images: jax.Array) -> jax.Array:
    x = _conv(settings.width, 5, 2)(_input(images))
    skips = []
    for depth in _DEPTHS:
      if skips:
        x = hk.max_pool(x, (2, 2, 1), (2, 2, 1), 'VALID')
      x = _block(x, depth * settings.width)
      if depth >= _ATTENTIVE:
        x += _attend(x)
      skips.append(x)
    x += hk.Linear(x.shape[-1], name='context')(_context(x))[:, None, None]
    for depth, beside in zip(_DEPTHS[-2::-1], skips[-2::-1], strict=True):
      x = jnp.concatenate([_double(x), beside], axis=-1)
      x = _block(x, depth * settings.width)
    return hk.Conv2D(len(settings.heads), 1, name='heads')(x)

  return hk.without_apply_rng(hk.transform(forward))


def _input(images: jax.Array) -> jax.Array:
  """Returns colors around 0, their strangeness and place [B, S, S, 9]."""
  colors = images.astype(jnp.float32) / 127.5 - 1
  place = jnp.linspace(-1, 1, images.shape[1])
  y, x = jnp.meshgrid(place, place, indexing='ij')
  where = jnp.broadcast_to(jnp.stack([y, x], -1), (*images.shape[:3], 2))
  return jnp.concatenate([colors, strangeness(colors), where], axis=-1)


def strangeness(colors: jax.Array) -> jax.Array:
  """Returns differences of colors from those along each side [B, S, S, 4].

  Logarithms of squared Mahalanobis distances.
  """
  batch, side = colors.shape[:2]
  rim = side // _RIM
  along = jnp.stack(
    [
      x.reshape(batch, -1, 3)
      for x in (
        colors[:, :rim],
        colors[:, -rim:],
        colors[:, :, :rim],
        colors[:, :, -rim:],
      )
    ],
    axis=1,
  )
  mean = along.mean(2, keepdims=True)
  apart = along - mean
  # Rounded to bfloat16, as products on a TPU are, squares become negative.
  product = functools.partial(jnp.einsum, precision='highest')
  covariance = product('bnpc,bnpd->bncd', apart, apart) / along.shape[2]
  covariance += _LEAST_SPREAD**2 * jnp.eye(3)[None, None]
  inverse = jnp.linalg.inv(covariance)
  off = colors.reshape(batch, 1, -1, 3) - mean
  squared = product('bnpc,bncd,bnpd->bpn', off, inverse, off)
  return jnp.log1p(jnp.maximum(squared, 0)).reshape(batch, side, side, 4)


def _block(x: jax.Array, channels: int) -> jax.Array:
  for _ in range(2):
    x = jax.nn.relu(_norm()(_conv(channels, 3, 1)(x)))
  return x


def _attend(x: jax.Array) -> jax.Array:
  """Returns attention of each place to similar ones [B, h, w, channels]."""
  batch, _, _, channels = x.shape
  places = _norm()(x).reshape(batch, -1, channels)
  attention = hk.MultiHeadAttention(
    _ATTENTION_HEADS,
    channels // _ATTENTION_HEADS,
    w_init=hk.initializers.VarianceScaling(1.0),
  )
  return attention(places, places, places).reshape(x.shape)


def _conv(channels: int, kernel: int, stride: int) -> hk.Conv2D:
  return hk.Conv2D(channels, kernel, stride, with_bias=False)


def _norm() -> hk.GroupNorm:
  # Not by batch: the mask of an image depends on that image alone.
  return hk.GroupNorm(_GROUPS)


def _context(x: jax.Array) -> jax.Array:
  """Returns means over the image and its border [B, 2 * channels]."""
  sides = x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]
  border = jnp.concatenate(sides, axis=1).mean(1)
  return jnp.concatenate([x.mean((1, 2)), border], axis=-1)


def _double(x: jax.Array) -> jax.Array:
  batch, height, width, channels = x.shape
  return jax.image.resize(x, (batch, 2 * height, 2 * width, channels), 'linear')
