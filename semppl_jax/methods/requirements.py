"""What methods ask of a config, in the words of the checks."""

from collections.abc import Iterator
import math

from ml_collections import ConfigDict

from semppl_jax.config.constraints import must, RunDims


def two_large_views(config: ConfigDict) -> Iterator[str]:
  """Yields a sentence unless there are two large views."""
  if config.views.large.count != 2:
    yield must(
      config, 'views.large.count', f'be 2 where method={config.method!r}'
    )


def no_small_views(config: ConfigDict) -> Iterator[str]:
  """Yields a sentence where there are small views, which would be wasted."""
  if config.views.small.count:
    yield must(
      config,
      'views.small.count',
      f'be 0 where method={config.method!r}, which does not use them',
    )


def support(config: ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence for each field of `config.support` that cannot be."""
  s = config.support
  if dims.classes is not None and s.classes_per_batch > dims.classes:
    yield must(
      config,
      'support.classes_per_batch',
      f'be at most the {dims.classes} classes of the data',
    )
  rows, devices = s.classes_per_batch * s.images_per_class, dims.device_count
  asked = (
    f'config.support.classes_per_batch={s.classes_per_batch} times'
    f' images_per_class={s.images_per_class} must be a multiple of'
  )
  if rows % devices:
    yield f'{asked} the {devices} devices, and is {rows}.'
  elif rows // devices % config.accumulate:
    both = math.gcd(config.batch_size // devices, rows // devices)
    fits = [str(n) for n in range(1, both + 1) if both % n == 0]
    yield (
      f'{asked} accumulate={config.accumulate} times the {devices} devices, and'
      f' is {rows}; with batch_size={config.batch_size}, accumulate may be'
      f' {" or ".join(fits)}.'
    )


def labels_of_a_batch(config: ConfigDict, dims: RunDims) -> int | None:
  """Labelled rows of a batch, on average where their number is not fixed.

  None where the data is not known.
  """
  if config.data.labelled_per_batch:
    return config.data.labelled_per_batch
  if not dims.examples or dims.labelled is None:
    return None
  return math.ceil(config.batch_size * dims.labelled / dims.examples)
