"""Requirements of methods on a config, each a sentence where it is not met."""

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


def several_large_views(config: ConfigDict) -> Iterator[str]:
  """Yields a sentence unless there is another large view to predict."""
  if config.views.large.count < 2:
    rule = f'be 2 or more where method={config.method!r}'
    yield must(config, 'views.large.count', rule)


def no_small_views(config: ConfigDict) -> Iterator[str]:
  """Yields a sentence if there are small views, which would be wasted."""
  if config.views.small.count:
    yield must(
      config,
      'views.small.count',
      f'be 0 where method={config.method!r}, which does not use them',
    )


def support(config: ConfigDict, dims: RunDims) -> Iterator[str]:
  """Yields a sentence for each field of `config.support` that cannot work."""
  s = config.support
  if dims.classes is not None and s.classes_per_batch > dims.classes:
    yield must(
      config,
      'support.classes_per_batch',
      f'be at most the {dims.classes} classes of the data',
    )
  rows, devices = s.classes_per_batch * s.images_per_class, dims.device_count
  product = (
    f'config.support.classes_per_batch={s.classes_per_batch} times'
    f' images_per_class={s.images_per_class} must be a multiple of'
  )
  if rows % devices:
    yield f'{product} the {devices} devices, and is {rows}.'
  elif rows // devices % config.accumulate:
    both = math.gcd(config.batch_size // devices, rows // devices)
    fits = [str(n) for n in range(1, both + 1) if both % n == 0]
    yield (
      f'{product} accumulate={config.accumulate} times the {devices} devices,'
      f' and is {rows}; with batch_size={config.batch_size}, accumulate may be'
      f' {" or ".join(fits)}.'
    )


def labels_per_batch(config: ConfigDict, dims: RunDims) -> int | None:
  """Returns the labelled rows of a batch, on average where they vary.

  None where the data is unknown.
  """
  if config.data.labelled_per_batch:
    return config.data.labelled_per_batch
  if not dims.examples or dims.labelled is None:
    return None
  return math.ceil(config.batch_size * dims.labelled / dims.examples)
