"""The mask network: an encoder-decoder with a map for each of its heads.

Small, since it learns from a few thousand images: after Nguyen et al.,
"DeepUSPS", NeurIPS 2019, whose network is a dilated residual one of ImageNet
size. What stands out is judged against the border of the image, as in the
detectors that it learns from: so it sees how far each pixel's colour is from
those of each side, and its deepest features the border's mean. And as regions
of the detectors lend each other their values where they look alike, so do its
deep features, by attention.
"""

import functools
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

# Powers of two of the width, from the maps' resolution down.
_DEPTHS = (1, 2, 4, 8)
_ATTENTIVE = 4  # From this depth on: of finer features, it would take long.
_GROUPS = 4
_ATTENTION_HEADS = 4
# Choices: a side of the image is so much of it, 1 / _RIM; and colours of a side
# differ by no less than this, of 2.
_RIM = 12
_LEAST_SPREAD = 0.025


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


def check(settings: Settings) -> None:
  """Raises ValueError where there is no such network."""
  side, width = settings.side, settings.width
  if not settings.heads or side < 16 or side % 16 or width < 4 or width % 4:
    raise ValueError(
      f'{settings} must have a head, a side of a multiple of 16 and a width of'
      ' a multiple of 4'
    )


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
      if depth >= _ATTENTIVE:
        x += _attend(x)
      kept.append(x)
    x += hk.Linear(x.shape[-1], name='context')(_context(x))[:, None, None]
    for depth, beside in zip(_DEPTHS[-2::-1], kept[-2::-1], strict=True):
      x = jnp.concatenate([_double(x), beside], axis=-1)
      x = _block(x, depth * settings.width)
    return hk.Conv2D(len(settings.heads), 1, name='heads')(x)

  return hk.without_apply_rng(hk.transform(forward))


def _input(images: jax.Array) -> jax.Array:
  """Colours about 0, how strange each is, and where [B, S, S, 9]."""
  colours = images.astype(jnp.float32) / 127.5 - 1
  place = jnp.linspace(-1, 1, images.shape[1])
  y, x = jnp.meshgrid(place, place, indexing='ij')
  where = jnp.broadcast_to(jnp.stack([y, x], -1), (*images.shape[:3], 2))
  return jnp.concatenate([colours, strangeness(colours), where], axis=-1)


def strangeness(colours: jax.Array) -> jax.Array:
  """How far each colour is from those along each side [B, S, S, 4].

  In standard deviations of them (Mahalanobis), squared, by their logarithm.
  """
  batch, side = colours.shape[:2]
  rim = side // _RIM
  along = jnp.stack(
    [
      x.reshape(batch, -1, 3)
      for x in (
        colours[:, :rim],
        colours[:, -rim:],
        colours[:, :, :rim],
        colours[:, :, -rim:],
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
  off = colours.reshape(batch, 1, -1, 3) - mean
  squared = product('bnpc,bncd,bnpd->bpn', off, inverse, off)
  return jnp.log1p(jnp.maximum(squared, 0)).reshape(batch, side, side, 4)


def _block(x: jax.Array, channels: int) -> jax.Array:
  for _ in range(2):
    x = jax.nn.relu(_norm()(_conv(channels, 3, 1)(x)))
  return x


def _attend(x: jax.Array) -> jax.Array:
  """What each place takes from those that look alike [B, h, w, channels]."""
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
