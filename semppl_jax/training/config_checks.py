"""Every impossible value of a config, before anything is compiled.

Constraints say what one field may be; the functions below them, how fields, the
devices and the data fit together.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from semppl_jax import methods
from semppl_jax.config import constraints, durations
from semppl_jax.config.constraints import (
  COUNT,
  FRACTION,
  get,
  must,
  NON_NEGATIVE,
  POSITIVE,
  Range,
  RunDims,
  SEED,
)
from semppl_jax.data import dataset
from semppl_jax.models import backbones, network
from semppl_jax.optim import optimizers

_RANGES = {
  'seed': SEED,
  'batch_size': Range(2),
  'accumulate': COUNT,
  'data.test_holdout': Range(0, 1, open_high=True),
  'data.labels_seed': SEED,
  'data.labelled_per_batch': NON_NEGATIVE,
  'data.limit': NON_NEGATIVE,
  'data.shuffle_gib': POSITIVE,
  'data.device_gib': POSITIVE,
  'data.prefetch': COUNT,
  'data.threads': NON_NEGATIVE,
  'data.max_corrupt': FRACTION,
  'views.large.count': COUNT,
  'views.large.size': COUNT,
  'views.small.count': NON_NEGATIVE,
  'views.small.size': COUNT,
  'views.flip': FRACTION,
  'augment.jitter': FRACTION,
  'augment.brightness': NON_NEGATIVE,
  'augment.contrast': NON_NEGATIVE,
  'augment.saturation': NON_NEGATIVE,
  'augment.hue': Range(0, 0.5),
  'augment.grayscale': FRACTION,
  'augment.equalize': FRACTION,
  'saliency.probability': FRACTION,
  'network.bn_decay': Range(0, 1, open_high=True),
  'network.bn_eps': POSITIVE,
  'network.projector.hidden': COUNT,
  'network.projector.output': COUNT,
  'network.predictor.hidden': COUNT,
  'network.prototypes': Range(2),
  'support.classes_per_batch': Range(2),
  'support.images_per_class': COUNT,
  'support.views': COUNT,
  'optimizer.learning_rate': NON_NEGATIVE,
  'optimizer.final_learning_rate': NON_NEGATIVE,
  'optimizer.start_learning_rate': NON_NEGATIVE,
  'optimizer.reference_batch': NON_NEGATIVE,
  'optimizer.momentum': Range(0, 1, open_high=True),
  'optimizer.trust_coefficient': POSITIVE,
  'optimizer.weight_decay': NON_NEGATIVE,
  'ema.decay': FRACTION,
  'eval.headline_k': COUNT,
  'eval.temperature': POSITIVE,
  'eval.batch_size': COUNT,
  'eval.resize': COUNT,
  'eval.crop': COUNT,
  'checkpoint.keep': COUNT,
  'network.projector.layers': Range(2),
  'network.classifier.classes': NON_NEGATIVE,
  'probe.learning_rate': POSITIVE,
}

# Range of each entry, and how many there are (None: any number but 0).
_TUPLES = {
  'data.canvas': (COUNT, 2),
  'augment.blur': (FRACTION, 2),
  'augment.blur_sigma': (POSITIVE, 2),
  'augment.solarize': (FRACTION, 2),
  'augment.mean': (FRACTION, 3),
  'augment.std': (POSITIVE, 3),
  'views.large.area': (Range(0, 1, open_low=True), 2),
  'views.large.aspect': (POSITIVE, 2),
  'views.small.area': (Range(0, 1, open_low=True), 2),
  'views.small.aspect': (POSITIVE, 2),
  'eval.k': (COUNT, None),
}

_INTERVALS = (
  'augment.blur_sigma',
  'views.large.area',
  'views.large.aspect',
  'views.small.area',
  'views.small.aspect',
)

_CHOICES = {
  'on_nonfinite': ('stop', 'skip'),
  'data.kind': dataset.KINDS,
  'data.backend': dataset.BACKENDS,
  'data.crops': ('host', 'device'),
  'views.interpolation': ('bicubic', 'bilinear'),
  'saliency.fill': ('grey', 'mean', 'black'),
  'network.precision': network.PRECISIONS,
  'network.classifier.input': network.CLASSIFIER_INPUTS,
  'optimizer.name': optimizers.NAMES,
  'optimizer.momentum_dtype': network.PRECISIONS,
  'ema.schedule': ('constant', 'cosine'),
}

_TABLES = constraints.Constraints(_RANGES, _TUPLES, _INTERVALS, _CHOICES)
_PERIODS = ('duration', 'log_every', 'eval.every', 'checkpoint.every')
_WARMUP = 'optimizer.warmup'
# Periods that may be 0: such a thing is then never done, or left out.
_MAY_BE_NONE = (_WARMUP, 'eval.every')


def problems(
  config: ConfigDict,
  *,
  device_count: int,
  process_count: int = 1,
  examples: int | None = None,
  classes: int | None = None,
  labelled: int | None = None,
) -> list[str]:
  """Finds every impossible value of a config.

  Args:
    config: the run's config.
    device_count: devices of all processes.
    process_count: processes of the run.
    examples: train images, or None where the data is not at hand.
    classes: C, or None.
    labelled: train images that keep their label, or None.

  Returns:
    One sentence for each: field, value and what is allowed. Empty if the
    config can run.
  """
  found = [*constraints.violations(config, _TABLES), *methods.unknown(config)]
  for field in (*_PERIODS, _WARMUP):
    found += _no_duration(config, field)
  found += backbones.problems(config.network)
  # What follows calculates with the fields, and needs them to be sound.
  if not found:
    dims = RunDims(device_count, process_count, examples, classes, labelled)
    checks = _batch, _data, _schedule, _evaluation, _sizes, _heads
    for check in (*checks, methods.problems):
      found.extend(check(config, dims))
  return found


def _no_duration(config: ConfigDict, field: str) -> Iterator[str]:
  wrong = [*durations.invalid_duration(get(config, field), field)]
  yield from wrong
  if wrong:
    return
  if not durations.steps(get(config, field), 1, 1) and (
    field not in _MAY_BE_NONE
  ):
    yield must(config, field, 'be longer than 0')


def _batch(config: ConfigDict, dims: RunDims) -> Iterator[str]:
  size = config.batch_size
  counts = {'devices': dims.device_count, 'processes': dims.process_count}
  for what, count in counts.items():
    if size % count:
      yield must(config, 'batch_size', f'be a multiple of the {count} {what}')
  if config.accumulate > 1 and size % (config.accumulate * dims.device_count):
    yield must(
      config,
      'accumulate',
      f'divide the {size // dims.device_count} rows that each of the'
      f' {dims.device_count} devices has of batch_size={size}',
    )
  if dims.examples is not None and size > dims.examples:
    yield must(
      config, 'batch_size', f'be at most the {dims.examples} train images'
    )
  if 0 < config.data.labelled_per_batch < size and (
    dims.labelled is not None and dims.labelled == dims.examples
  ):
    yield must(
      config,
      'data.labelled_per_batch',
      f'be 0 or batch_size={size} where every train image is labelled',
    )
  if config.data.labelled_per_batch > size:
    yield must(
      config, 'data.labelled_per_batch', f'be at most batch_size={size}'
    )


def _data(config: ConfigDict, dims: RunDims) -> Iterator[str]:
  if dims.classes is not None and dims.classes < 2:
    yield must(
      config, 'data.kind', f'give 2 or more classes, and gives {dims.classes}'
    )
  if dims.labelled == 0:
    yield must(config, 'data.labels', 'leave at least one image its label')
  kind = config.data.kind
  places = {'folder': 'a folder', 'tfrecord': 'files', 'npz': 'a file'}
  if kind in places and not config.data.path:
    rule = f'name {places[kind]} where data.kind={kind!r}'
    yield must(config, 'data.path', rule)
  if kind == 'npz' and config.data.backend != 'device':
    yield must(config, 'data.backend', "be 'device' where data.kind='npz'")
  if config.data.scaled_decoding and config.data.backend == 'device':
    yield must(
      config, 'data.scaled_decoding', "be False where data.backend='device'"
    )
  if config.views.antialias and 'device' in (
    config.data.backend, config.data.crops
  ):  # fmt: skip
    yield must(
      config,
      'views.antialias',
      'be False where the devices cut the views: those are always antialiased',
    )
  if kind == 'tfds' and not config.data.name:
    yield must(config, 'data.name', "name a set where data.kind='tfds'")


def _schedule(config: ConfigDict, dims: RunDims) -> Iterator[str]:
  warmup, duration = config.optimizer.warmup, config.duration
  same_unit = warmup.split()[1].rstrip('s') == duration.split()[1].rstrip('s')
  # Lengths of one unit compare whatever the data.
  if dims.examples is None and not same_unit:
    return
  warmup_steps, steps = (
    durations.steps(each, config.batch_size, dims.examples or 10**6)
    for each in (warmup, duration)
  )
  if warmup_steps > steps:
    yield must(config, _WARMUP, f'be at most as long as duration={duration!r}')


def _evaluation(config: ConfigDict, dims: RunDims) -> Iterator[str]:
  if config.eval.crop > config.eval.resize:
    yield must(
      config, 'eval.crop', f'be at most eval.resize={config.eval.resize}'
    )
  if config.eval.batch_size % dims.device_count:
    yield must(
      config,
      'eval.batch_size',
      f'be a multiple of the {dims.device_count} devices',
    )


def _sizes(config: ConfigDict, dims: RunDims) -> Iterator[str]:
  del dims
  fields = ['views.large.size', 'eval.crop']
  if config.views.small.count:
    fields.append('views.small.size')
  for field in fields:
    size = get(config, field)
    if config.network.stem == 'space_to_depth' and size % 2:
      yield must(config, field, "be even where network.stem='space_to_depth'")
    elif config.network.backbone == 'resnet_tiny' and size < 8:
      yield must(
        config, field, "be at least 8 where network.backbone='resnet_tiny'"
      )


def _heads(config: ConfigDict, dims: RunDims) -> Iterator[str]:
  classes = config.network.classifier.classes
  if dims.classes is not None and classes not in (0, dims.classes):
    yield must(
      config,
      'network.classifier.classes',
      f'be 0 or the {dims.classes} classes of the data',
    )
  if set(config.init_heads) - set(network.HEADS):
    yield must(config, 'init_heads', f'be some of {", ".join(network.HEADS)}')
