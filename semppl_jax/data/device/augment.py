"""Photometric augmentation on the accelerator, inside the jitted step.

Every draw has shape [B, V] and comes from one key, and each operation depends
on its own image alone: the result is independent of the device count and needs
no communication.

Where the sources differ, brightness multiplies, as in torchvision and SimCLRv2
(BYOL adds), and blur reflects at the border, as in torchvision (BYOL pads with
black).
"""

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import ml_collections

from semppl_jax.data.device import color_ops
from semppl_jax.data.device.color_ops import Planes

Array = jax.Array
Operation = Callable[[Planes, Array], Planes]
Augment = Callable[..., Array]


def make_augment(
  config_augment: ml_collections.ConfigDict,
  config_saliency: ml_collections.ConfigDict,
) -> Augment:
  """Builds the photometric augmentation of views, in the order of BYOL.

  An operation of probability 0 is not built. Pairs of probabilities alternate
  over the views: the first for views 0, 2, ..., the second for 1, 3, ...
  (BYOL, arXiv 2006.07733, appendix B).

  Args:
    config_augment: probabilities and strengths.
    config_saliency: probability of masking the background, and its fill.

  Returns:
    `(views, key, mask=None) -> views`: from uint8 [B, V, H, W, 3] to normalized
    float32 of the same shape. `mask` is uint8 [B, V, H, W], 1 on the
    foreground, or None. V may be 0.
  """
  c = config_augment
  fill = _make_background_fill(config_saliency, c.mean)
  operations = (
    _make_jitter(c),
    _sometimes((c.grayscale, c.grayscale), color_ops.grayscale),
    _make_blur(c.blur, c.blur_sigma),
    _sometimes(c.solarize, color_ops.solarize),
    _sometimes((c.equalize, c.equalize), color_ops.equalize),
  )

  def augment(views: Array, key: Array, mask: Array | None = None) -> Array:
    chex.assert_rank(views, 5)
    chex.assert_type(views, jnp.uint8)
    if not views.size:
      return jnp.zeros(views.shape, jnp.float32)
    # One key for each operation, built or not: the draws of one do not depend
    # on which others exist.
    fill_key, *keys = jax.random.split(key, 1 + len(operations))
    planes = color_ops.to_planes(views)
    if mask is not None and fill is not None:
      planes = fill(planes, fill_key, mask)
    for operation, operation_key in zip(operations, keys, strict=True):
      if operation is not None:
        planes = operation(planes, operation_key)
    red, green, blue = (jnp.clip(plane, 0.0, 1.0) for plane in planes)
    return color_ops.normalize((red, green, blue), c.mean, c.std)

  return augment


def normalize(
  images: Array, mean: Sequence[float], std: Sequence[float]
) -> Array:
  """Returns (images / 255 - mean) / std, float32.

  Args:
    images: RGB, uint8 [..., H, W, 3].
    mean: mean of each channel, for values in [0, 1].
    std: standard deviation of each channel, for values in [0, 1].
  """
  chex.assert_type(images, jnp.uint8)
  return color_ops.normalize(
    color_ops.to_planes(jnp.asarray(images)), mean, std
  )


def _make_background_fill(
  config: ml_collections.ConfigDict, mean: Sequence[float]
) -> Callable[[Planes, Array, Array], Planes] | None:
  """Builds the replacement of some views' background by a constant color."""
  if not config.probability:
    return None

  def fill(planes: Planes, key: Array, mask: Array) -> Planes:
    chosen_key, gray_key = jax.random.split(key)
    shape = mask.shape[:2]
    chosen = jax.random.bernoulli(chosen_key, config.probability, shape)
    keep = (mask != 0) | ~chosen[..., None, None]
    constants = {
      'grey': (jax.random.uniform(gray_key, (*shape, 1, 1)),) * 3,
      'mean': tuple(mean),
      'black': (0.0, 0.0, 0.0),
    }[config.fill]
    red, green, blue = (
      jnp.where(keep, plane, constant)
      for plane, constant in zip(planes, constants, strict=True)
    )
    return red, green, blue

  return fill


def _make_jitter(c: ml_collections.ConfigDict) -> Operation | None:
  """Builds brightness, contrast, saturation and hue in random order per image.

  Running four rounds that each select one of four results costs 16 operations.
  Instead, the expensive contrast and hue run twice, and each of the other two
  has its turn before, between or after them. An operation out of its turn gets
  the strength that leaves an image unchanged.
  """
  strengths = (c.brightness, c.contrast, c.saturation, c.hue)
  if not c.jitter or not any(strengths):
    return None

  def jitter(planes: Planes, key: Array) -> Planes:
    shape = planes[0].shape[:2]
    chosen_key, order_key, *keys = jax.random.split(key, 6)
    chosen = jax.random.bernoulli(chosen_key, c.jitter, shape)
    turn_b, turn_c, turn_s, turn_h = jax.random.uniform(order_key, (4, *shape))
    bright, contrasted, saturated, shift = (
      jax.random.uniform(k, shape, minval=max(low - x, limit), maxval=low + x)
      for k, x, low, limit in zip(
        keys, strengths, (1, 1, 1, 0), (0, 0, 0, -0.5), strict=True
      )
    )

    def at(here: Array, factor: Array, identity: float = 1.0) -> Array:
      return jnp.where(chosen & here, factor, identity)

    def blends(planes: Planes, past_c: Array, past_h: bool) -> Planes:
      """Applies brightness and saturation to images whose turn is here."""
      b_here, s_here = (
        ((turn > turn_c) == past_c) & ((turn > turn_h) == past_h)
        for turn in (turn_b, turn_s)
      )
      s_first = turn_s < turn_b
      if c.saturation:
        planes = color_ops.saturation(planes, at(s_here & s_first, saturated))
      if c.brightness:
        planes = color_ops.brightness(planes, at(b_here, bright))
      if c.saturation:
        planes = color_ops.saturation(planes, at(s_here & ~s_first, saturated))
      return planes

    def half(planes: Planes, past_c: Array) -> tuple[Planes, None]:
      """Applies the operations before contrast, or those after it."""
      planes = blends(planes, past_c, False)
      if c.hue:
        here = (turn_h > turn_c) == past_c
        planes = color_ops.hue(planes, at(here, shift, 0.0))
      planes = blends(planes, past_c, True)
      if c.contrast:
        planes = color_ops.contrast(planes, at(~past_c, contrasted))
      return planes, None

    # Unrolled, XLA:CPU fuses both halves into one function that takes half a
    # minute to compile.
    planes, _ = jax.lax.scan(half, planes, jnp.asarray([False, True]))
    return planes

  return jitter


def _make_blur(
  probabilities: Sequence[float], sigmas: Sequence[float]
) -> Operation | None:
  """Builds a Gaussian blur: two products with a banded matrix per image.

  Convolutions with separate weights per image are slow on accelerators, and
  matrix products fast. The error of their default precision is below one level
  of 255.
  """
  if not any(probabilities):
    return None

  def blur(planes: Planes, key: Array) -> Planes:
    chosen_key, sigma_key = jax.random.split(key)
    shape = planes[0].shape[:2]
    chosen = _alternating(chosen_key, probabilities, shape)
    sigma = jax.random.uniform(
      sigma_key, shape, minval=sigmas[0], maxval=sigmas[1]
    )
    height, width = planes[0].shape[2:]
    down, across = (
      _blur_matrix(sigma, size, blur_radius(size)) for size in (height, width)
    )
    red, green, blue = (
      jnp.einsum('bvij,bvjk,bvlk->bvil', down, plane, across)
      for plane in planes
    )
    return color_ops.where(chosen, (red, green, blue), planes)

  return blur


def blur_radius(size: int) -> int:
  """Returns r of a kernel of 2 r + 1 pixels, about a tenth of the image."""
  return size // 20


def _blur_matrix(sigma: Array, size: int, radius: int) -> Array:
  """Returns matrices [B, V, size, size] of a blur that reflects at borders."""
  out = jnp.arange(size)[:, None]
  source = jnp.arange(size)[None, :]
  end = size - 1

  def weight(distance: Array) -> Array:
    squares = (distance * distance).astype(jnp.float32)[None, None]
    gauss = jnp.exp(-squares / (2 * sigma * sigma)[..., None, None])
    return jnp.where((jnp.abs(distance) <= radius)[None, None], gauss, 0.0)

  # Each border reflects the taps beyond it.
  total = (
    weight(out - source)
    + jnp.where((source > 0)[None, None], weight(out + source), 0.0)
    + jnp.where((source < end)[None, None], weight(out - 2 * end + source), 0.0)
  )
  return total / jnp.sum(total, axis=-1, keepdims=True)


def _sometimes(
  probabilities: Sequence[float], operation: Callable[[Planes], Planes]
) -> Operation | None:
  """Applies `operation` to a view at random; None if it never applies."""
  if not any(probabilities):
    return None

  def sometimes(planes: Planes, key: Array) -> Planes:
    chosen = _alternating(key, probabilities, planes[0].shape[:2])
    return color_ops.where(chosen, operation(planes), planes)

  return sometimes


def _alternating(
  key: Array, probabilities: Sequence[float], shape: tuple[int, ...]
) -> Array:
  """Draws bool [B, V], with the probabilities of even and of odd views."""
  per_view = jnp.asarray(probabilities, jnp.float32)[jnp.arange(shape[1]) % 2]
  return jax.random.uniform(key, shape) < per_view[None, :]
