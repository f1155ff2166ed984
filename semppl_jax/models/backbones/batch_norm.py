"""Batch norm over the global batch (Ioffe and Szegedy, arXiv 1502.03167).

Under `jax.jit` a batch that is split over devices is one global array, so that
a mean over its rows is one over the rows of all devices and hosts: XLA inserts
the all-reduce, no axis name is needed, and the result is that of one device.
This is the synchronized batch norm of BYOL (arXiv 2006.07733).

The V views of an image travel in one batch, as rows b * V + v. With V groups
each view has statistics of its own; with one group all views share them.
Sums are first taken over the pixels of a row, and only the small [N, C] result
is split into groups. Splitting the rows of the activation itself would be
shorter, but an accelerator may keep the rows in a tiled dimension of the
layout, where the split costs a copy of the activation.

Parameter names, shapes and results are those of `hk.BatchNorm`.
"""

import haiku as hk
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class BatchNorm(hk.Module):
  """Normalizes channels with float32 statistics, whatever the input's dtype.

  One call makes one update of the averages, with the mean over the groups of
  their statistics (choice: with one update per group the averages would forget
  faster the more views there are). `decay_rate` is the decay of the averages.
  """

  def __init__(
    self,
    decay_rate: float,
    eps: float,
    scale_init: hk.initializers.Initializer = jnp.ones,
    name: str | None = None,
  ):
    super().__init__(name=name)
    self.eps = eps
    self.scale_init = scale_init
    self.mean_ema = hk.ExponentialMovingAverage(decay_rate, name='mean_ema')
    self.var_ema = hk.ExponentialMovingAverage(decay_rate, name='var_ema')

  def __call__(
    self, x: Float[Array, 'N *pixels C'], is_training: bool, groups: int = 1
  ) -> Float[Array, 'N *pixels C']:
    """Normalizes rows [N, ..., C]; row n belongs to group n % `groups`."""
    shape = (1,) * (x.ndim - 1) + x.shape[-1:]
    scale = hk.get_parameter('scale', shape, jnp.float32, self.scale_init)
    offset = hk.get_parameter('offset', shape, jnp.float32, jnp.zeros)
    wide = x.astype(jnp.float32)
    if is_training:
      mean, var = _moments(wide, groups)
      # Haiku's average raises a float to an int: strict promotion refuses.
      with jax.numpy_dtype_promotion('standard'):
        self.mean_ema(jnp.mean(mean, axis=0).reshape(shape))
        self.var_ema(jnp.mean(var, axis=0).reshape(shape))
    else:
      mean = self.mean_ema.average.reshape(1, -1)
      var = self.var_ema.average.reshape(1, -1)
    # One multiply-add per element, which XLA fuses with the two casts.
    gain = scale.reshape(1, -1) * jax.lax.rsqrt(var + self.eps)
    bias = offset.reshape(1, -1) - mean * gain
    return (wide * _per_row(gain, x) + _per_row(bias, x)).astype(x.dtype)


def _moments(x: Array, groups: int) -> tuple[Array, Array]:
  """Returns mean and variance [groups, C] of the rows [N, ..., C]."""
  mean, square = _group_mean(x, groups), _group_mean(jnp.square(x), groups)
  # Rounding can turn the variance of a constant channel negative.
  return mean, jnp.maximum(square - jnp.square(mean), 0.0)


def _group_mean(x: Array, groups: int) -> Array:
  rows = jnp.mean(x, axis=tuple(range(1, x.ndim - 1)))
  return jnp.mean(rows.reshape(-1, groups, x.shape[-1]), axis=0)


def _per_row(stat: Array, x: Array) -> Array:
  """Repeats [groups, C] so that it broadcasts against rows [N, ..., C]."""
  groups, channels = stat.shape
  ones = (1,) * (x.ndim - 2)
  if groups == 1:
    return stat.reshape(1, *ones, channels)
  rows = jnp.broadcast_to(stat[None], (len(x) // groups, groups, channels))
  return rows.reshape(len(x), *ones, channels)
