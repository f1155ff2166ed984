"""Depthwise convolutions of EfficientNet-Lite0: XLA's own, taps, and PyTorch.

  PYTHONPATH=. python benchmarks/depthwise.py [--batch=16] [--pixels=224]

Prints milliseconds of the forward pass on this machine's device, medians, and
of PyTorch in its channels-last layout where it is installed. On CPUs
`semppl_jax/models/backbones/layers.py` sums taps.
"""

from absl import flags
import jax

from semppl_jax.models.backbones import efficientnet_lite, layers
from semppl_jax.runtime import cli, errors, tables
from semppl_jax.tools.profiling import timing

_BATCH = flags.DEFINE_integer('batch', 16, 'Images.', 1)
_PIXELS = flags.DEFINE_integer('pixels', 224, 'Side of the images.', 32)
_CALLS = flags.DEFINE_integer('calls', 10, 'Number of timed calls.', 1)


def main(_) -> int:
  """Prints the table and returns the exit status."""
  rows = []
  for side, channels, kernel, stride in _shapes(_PIXELS.value):
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (_BATCH.value, side, side, channels))
    weights = jax.random.normal(keys[1], (kernel, kernel, 1, channels))
    calls = {
      'XLA': _compiled(layers.convolve_depthwise, x, weights, stride),
      'taps': _compiled(layers.convolve_by_taps, x, weights, stride),
      'PyTorch': _torch(x, weights, stride),
    }
    times = timing.measure(
      {name: call for name, call in calls.items() if call}, _CALLS.value, 2
    )
    rows.append([
      f'{side} x {side} x {channels}, {kernel} x {kernel}, stride {stride}',
      *(f'{times[x].median_ms:.2f}' if x in times else '-' for x in calls),
    ])  # fmt: skip
  head = ['input, kernel', 'XLA, ms', 'taps, ms', 'PyTorch, ms']
  print(tables.markdown([head, *rows]))
  return errors.OK


def _shapes(pixels: int) -> list[tuple[int, int, int, int]]:
  """Returns side, channels, kernel and stride of each different layer."""
  side, inputs = -(-pixels // 2), efficientnet_lite.STEM_CHANNELS
  shapes = []
  for stage in efficientnet_lite.stages(0):
    for i in range(stage.blocks):
      stride = stage.stride if i == 0 else 1
      shapes.append((side, inputs * stage.expansion, stage.kernel, stride))
      side, inputs = -(-side // stride), stage.channels
  return list(dict.fromkeys(shapes))


def _compiled(convolve, x, weights, stride):
  run = jax.jit(lambda x, weights: convolve(x, weights, stride, 'SAME'))
  compiled = run.lower(x, weights).compile()
  return lambda: jax.block_until_ready(compiled(x, weights))


def _torch(x, weights, stride):
  try:
    import torch
  except ImportError:
    return None
  channels, kernel = x.shape[-1], weights.shape[0]
  layer = torch.nn.Conv2d(
    channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False
  )
  layer = layer.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
  images = torch.randn(x.shape).permute(0, 3, 1, 2)  # Channels last already.

  def run():
    with torch.inference_mode():
      return layer(images)

  return run


if __name__ == '__main__':
  cli.start(main)
