"""Every impossible value of a config, before anything is compiled.

Tables say what one field may be; the functions below them, how fields, the
devices and the data fit together.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from semppl_jax import methods
from semppl_jax.config import constraints
from semppl_jax.config.constraints import (
  COUNT,
  get,
  must,
  NATURAL,
  POSITIVE,
  Range,
  SEED,
  SHARE,
)
from semppl_jax.config.facts import Facts
from semppl_jax.data import dataset
from semppl_jax.models import backbones, network
from semppl_jax.optim import optimizers, schedules

_RANGES = {
  'seed': SEED,
  'batch_size': Range(2),
  'accumulate': COUNT,
  'data.test_holdout': Range(0, 1, open_high=True),
  'data.labels_seed': SEED,
  'data.labelled_per_batch': NATURAL,
  'data.limit': NATURAL,
  'data.shuffle_gib': POSITIVE,
  'data.device_gib': POSITIVE,
  'data.prefetch': COUNT,
  'data.threads': NATURAL,
  'data.max_corrupt': SHARE,
  'views.large.count': COUNT,
  'views.large.size': COUNT,
  'views.small.count': NATURAL,
  'views.small.size': COUNT,
  'views.flip': SHARE,
  'augment.jitter': SHARE,
  'augment.brightness': NATURAL,
  'augment.contrast': NATURAL,
  'augment.saturation': NATURAL,
  'augment.hue': Range(0, 0.5),
  'augment.grayscale': SHARE,
  'augment.equalize': SHARE,
  'saliency.probability': SHARE,
  'network.bn_decay': Range(0, 1, open_high=True),
  'network.bn_eps': POSITIVE,
  'network.projector.hidden': COUNT,
  'network.projector.output': COUNT,
  'network.predictor.hidden': COUNT,
  'network.prototypes': Range(2),
  'support.classes_per_batch': Range(2),
  'support.images_per_class': COUNT,
  'support.views': COUNT,
  'optimizer.learning_rate': NATURAL,
  'optimizer.final_learning_rate': NATURAL,
  'optimizer.start_learning_rate': NATURAL,
  'optimizer.reference_batch': NATURAL,
  'optimizer.momentum': Range(0, 1, open_high=True),
  'optimizer.trust_coefficient': POSITIVE,
  'optimizer.weight_decay': NATURAL,
  'ema.decay': SHARE,
  'eval.headline_k': COUNT,
  'eval.temperature': POSITIVE,
  'eval.batch_size': COUNT,
  'eval.resize': COUNT,
  'eval.crop': COUNT,
  'checkpoint.keep': COUNT,
  'network.projector.layers': Range(2),
  'network.classifier.classes': NATURAL,
  'probe.learning_rate': POSITIVE,
}

# Range of each entry, and how many there are (None: any number but 0).
_TUPLES = {
  'data.canvas': (COUNT, 2),
  'augment.blur': (SHARE, 2),
  'augment.blur_sigma': (POSITIVE, 2),
  'augment.solarize': (SHARE, 2),
  'augment.mean': (SHARE, 3),
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

_TABLES = constraints.Tables(_RANGES, _TUPLES, _INTERVALS, _CHOICES)
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
  found = [*constraints.outside(config, _TABLES), *methods.unknown(config)]
  for field in (*_PERIODS, _WARMUP):
    found += _no_duration(config, field)
  found += backbones.problems(config.network)
  # What follows calculates with the fields, and needs them to be sound.
  if not found:
    facts = Facts(device_count, process_count, examples, classes, labelled)
    for check in (
      _batch,
      _data,
      _schedule,
      _evaluation,
      _sizes,
      _classifier,
      _heads,
      methods.problems,
    ):
      found.extend(check(config, facts))
  return found


def _no_duration(config: ConfigDict, field: str) -> Iterator[str]:
  wrong = [*schedules.check_duration(get(config, field), field)]
  yield from wrong
  if wrong:
    return
  if not schedules.steps(get(config, field), 1, 1) and (
    field not in _MAY_BE_NONE
  ):
    yield must(config, field, 'be longer than 0')


def _batch(config: ConfigDict, facts: Facts) -> Iterator[str]:
  size = config.batch_size
  for count, what in (
    (facts.device_count, 'devices'),
    (facts.process_count, 'processes'),
  ):
    if size % count:
      yield must(config, 'batch_size', f'be a multiple of the {count} {what}')
  if config.accumulate > 1 and size % (config.accumulate * facts.device_count):
    yield must(
      config,
      'accumulate',
      f'divide the {size // facts.device_count} rows that each of the'
      f' {facts.device_count} devices has of batch_size={size}',
    )
  if facts.examples is not None and size > facts.examples:
    yield must(
      config, 'batch_size', f'be at most the {facts.examples} train images'
    )
  if 0 < config.data.labelled_per_batch < size and (
    facts.labelled is not None and facts.labelled == facts.examples
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


def _data(config: ConfigDict, facts: Facts) -> Iterator[str]:
  if facts.classes is not None and facts.classes < 2:
    yield must(
      config, 'data.kind', f'give 2 or more classes, and gives {facts.classes}'
    )
  if facts.labelled == 0:
    yield must(config, 'data.labels', 'leave at least one image its label')
  if config.data.kind == 'folder' and not config.data.path:
    yield must(config, 'data.path', "name a folder where data.kind='folder'")
  if config.data.kind == 'tfrecord' and not config.data.path:
    yield must(config, 'data.path', "name files where data.kind='tfrecord'")
  if config.data.kind == 'npz':
    if not config.data.path:
      yield must(config, 'data.path', "name a file where data.kind='npz'")
    if config.data.backend != 'device':
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
  if config.data.kind == 'tfds' and not config.data.name:
    yield must(config, 'data.name', "name a set where data.kind='tfds'")


def _schedule(config: ConfigDict, facts: Facts) -> Iterator[str]:
  warmup, duration = config.optimizer.warmup, config.duration
  same_unit = warmup.split()[1].rstrip('s') == duration.split()[1].rstrip('s')
  # Lengths of one unit compare whatever the data.
  if facts.examples is None and not same_unit:
    return
  warmup_steps, steps = (
    schedules.steps(each, config.batch_size, facts.examples or 10**6)
    for each in (warmup, duration)
  )
  if warmup_steps > steps:
    yield must(config, _WARMUP, f'be at most as long as duration={duration!r}')


def _evaluation(config: ConfigDict, facts: Facts) -> Iterator[str]:
  if config.eval.crop > config.eval.resize:
    yield must(
      config, 'eval.crop', f'be at most eval.resize={config.eval.resize}'
    )
  if config.eval.batch_size % facts.device_count:
    yield must(
      config,
      'eval.batch_size',
      f'be a multiple of the {facts.device_count} devices',
    )


def _sizes(config: ConfigDict, facts: Facts) -> Iterator[str]:
  del facts
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


def _heads(config: ConfigDict, facts: Facts) -> Iterator[str]:
  del facts
  if set(config.init_heads) - set(network.HEADS):
    yield must(config, 'init_heads', f'be some of {", ".join(network.HEADS)}')


def _classifier(config: ConfigDict, facts: Facts) -> Iterator[str]:
  classes = config.network.classifier.classes
  if facts.classes is not None and classes not in (0, facts.classes):
    yield must(
      config,
      'network.classifier.classes',
      f'be 0 or the {facts.classes} classes of the data',
    )
