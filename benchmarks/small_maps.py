"""Convolutions to few pixels: XLA's own, and as one product of patches.

  PYTHONPATH=. python benchmarks/small_maps.py [--batch=128]

Prints milliseconds of the forward pass and of both gradients on this machine's
device, medians; `semppl_jax/models/backbones/layers.py` uses the faster.
"""

from absl import flags
import jax
import jax.numpy as jnp

from semppl_jax.models.backbones import layers
from semppl_jax.runtime import cli, errors, tables
from semppl_jax.tools.profiling import timing

_BATCH = flags.DEFINE_integer('batch', 128, 'Rows.', 1)
_CALLS = flags.DEFINE_integer('calls', 10, 'How many are timed.', 1)

# Pixels on a side of the input, channels, stride; the last block groups of
# ResNets on 32 and 64 px images, and one that is larger.
SHAPES = (
  (2, 512, 1),
  (4, 256, 2),
  (1, 512, 1),
  (2, 512, 2),
  (2, 256, 1),
  (4, 256, 1),
)
_PADDING = ((1, 1), (1, 1))


def main(_) -> int:
  """Prints the table and returns the exit status."""
  rows = []
  for side, channels, stride in SHAPES:
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (_BATCH.value, side, side, channels))
    weights = jax.random.normal(keys[1], (3, 3, channels, channels))
    calls = {}
    for name, small in (('XLA', 0), ('product', side)):
      passes = _passes(x, weights, stride, small)
      calls |= {f'{name}, {kind}': call for kind, call in passes.items()}
    times = timing.measure(calls, _CALLS.value, 2)
    for kind in ('forward', 'to the input', 'to the weights'):
      xla, product = (
        times[f'{x}, {kind}'].median_ms for x in ('XLA', 'product')
      )
      shape = f'{side} x {side} x {channels}, stride {stride}'
      rows.append([shape, kind, f'{xla:.2f}', f'{product:.2f}'])
  head = ['input', 'pass', 'XLA, ms', 'product, ms']
  print(tables.markdown([head, *rows]))
  return errors.OK


def _passes(x, weights, stride, small):
  """Compiled passes, each of which returns when it is done."""

  def forward(x, weights):
    return layers.convolve(x, weights, stride, _PADDING, small)

  above = jnp.ones_like(forward(x, weights))

  def to_input(x, weights):
    return jax.vjp(lambda x: forward(x, weights), x)[1](above)

  def to_weights(x, weights):
    return jax.vjp(lambda weights: forward(x, weights), weights)[1](above)

  passes = {
    'forward': forward,
    'to the input': to_input,
    'to the weights': to_weights,
  }
  return {name: _timed(f, x, weights) for name, f in passes.items()}


def _timed(f, x, weights):
  compiled = jax.jit(f).lower(x, weights).compile()
  return lambda: jax.block_until_ready(compiled(x, weights))


if __name__ == '__main__':
  cli.start(main)
