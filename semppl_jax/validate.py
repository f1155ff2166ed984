"""Every impossible value of a config, before anything is compiled.

Tables say what one field may be; the functions below them, how fields, the
devices and the data fit together.
"""

from collections.abc import Callable, Iterator, Sequence
import math
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from semppl_jax import backbones, methods, network, schedules
from semppl_jax.config_file import nearest
from semppl_jax.data import dataset


class _Range(NamedTuple):
  """Numbers from `low` to `high`; without the ends where they are open."""

  low: float
  high: float = math.inf
  open_low: bool = False
  open_high: bool = False

  def holds(self, value: Any) -> bool:
    """Says whether `value` is a number in the range."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
      return False
    above = value > self.low if self.open_low else value >= self.low
    below = value < self.high if self.open_high else value <= self.high
    return above and below

  def __str__(self) -> str:
    low = f'{"above" if self.open_low else "at least"} {self.low:g}'
    if self.high == math.inf:
      return low
    return f'{low} and {"below" if self.open_high else "at most"} {self.high:g}'


_COUNT = _Range(1)
_NATURAL = _Range(0)
_POSITIVE = _Range(0, open_low=True)
_SHARE = _Range(0, 1)
_SEED = _Range(0, 2**32, open_high=True)

_RANGES = {
  'seed': _SEED,
  'batch_size': _Range(2),
  'data.test_holdout': _Range(0, 1, open_high=True),
  'data.labels_seed': _SEED,
  'data.labelled_per_batch': _NATURAL,
  'data.limit': _NATURAL,
  'data.shuffle_gib': _POSITIVE,
  'data.prefetch': _COUNT,
  'data.threads': _NATURAL,
  'data.max_corrupt': _SHARE,
  'views.large.count': _COUNT,
  'views.large.size': _COUNT,
  'views.small.count': _NATURAL,
  'views.small.size': _COUNT,
  'views.flip': _SHARE,
  'augment.jitter': _SHARE,
  'augment.brightness': _NATURAL,
  'augment.contrast': _NATURAL,
  'augment.saturation': _NATURAL,
  'augment.hue': _Range(0, 0.5),
  'augment.grayscale': _SHARE,
  'augment.equalize': _SHARE,
  'saliency.probability': _SHARE,
  'network.bn_decay': _Range(0, 1, open_high=True),
  'network.bn_eps': _POSITIVE,
  'network.projector.hidden': _COUNT,
  'network.projector.output': _COUNT,
  'network.predictor.hidden': _COUNT,
  'semppl.temperature': _POSITIVE,
  'semppl.contrast_weight': _NATURAL,
  'semppl.semantic_weight': _NATURAL,
  'semppl.invariance_weight': _NATURAL,
  'semppl.num_negatives': _COUNT,
  'semppl.num_positives': _COUNT,
  'semppl.k': _COUNT,
  'optimizer.learning_rate': _NATURAL,
  'optimizer.final_learning_rate': _NATURAL,
  'optimizer.reference_batch': _NATURAL,
  'optimizer.momentum': _Range(0, 1, open_high=True),
  'optimizer.trust_coefficient': _POSITIVE,
  'optimizer.weight_decay': _NATURAL,
  'ema.decay': _SHARE,
  'eval.headline_k': _COUNT,
  'eval.temperature': _POSITIVE,
  'eval.batch_size': _COUNT,
  'eval.resize': _COUNT,
  'eval.crop': _COUNT,
  'checkpoint.keep': _COUNT,
}

# Range of each entry, and how many there are (None: any number but 0).
_TUPLES = {
  'augment.blur': (_SHARE, 2),
  'augment.blur_sigma': (_POSITIVE, 2),
  'augment.solarize': (_SHARE, 2),
  'augment.mean': (_SHARE, 3),
  'augment.std': (_POSITIVE, 3),
  'views.large.area': (_Range(0, 1, open_low=True), 2),
  'views.large.aspect': (_POSITIVE, 2),
  'views.small.area': (_Range(0, 1, open_low=True), 2),
  'views.small.aspect': (_POSITIVE, 2),
  'eval.k': (_COUNT, None),
}

_INTERVALS = (
  'augment.blur_sigma',
  'views.large.area',
  'views.large.aspect',
  'views.small.area',
  'views.small.aspect',
)

_CHOICES = {
  'method': methods.NAMES,
  'on_nonfinite': ('stop', 'skip'),
  'data.kind': dataset.KINDS,
  'views.interpolation': ('bicubic', 'bilinear'),
  'saliency.fill': ('grey', 'mean', 'black'),
  'network.precision': network.PRECISIONS,
  'semppl.invariance': ('log_ratio', 'kl'),
  'semppl.negatives': ('shared', 'per_pair'),
  'semppl.pseudo_labels': ('knn', 'none', 'oracle'),
  'semppl.vote_views': ('all', 'single'),
  'semppl.tie': ('similarity', 'smallest_class'),
  'optimizer.name': ('lars', 'adam'),
  'ema.schedule': ('constant', 'cosine'),
}

_PERIODS = ('duration', 'log_every', 'eval.every', 'checkpoint.every')
_WARMUP = 'optimizer.warmup'


class _Facts(NamedTuple):
  """What is known of the devices and the data; None where it is not."""

  device_count: int
  process_count: int
  examples: int | None
  classes: int | None
  labelled: int | None


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
  found = [*_outside_tables(config), *backbones.problems(config.network)]
  # What follows calculates with the fields, and needs them to be sound.
  if not found:
    facts = _Facts(device_count, process_count, examples, classes, labelled)
    for check in (
      _batch,
      _data,
      _schedule,
      _evaluation,
      _sizes,
      _METHOD_CHECKS.get(config.method, _nothing),
    ):
      found.extend(check(config, facts))
  return found


def _outside_tables(config: ConfigDict) -> Iterator[str]:
  for field, allowed in _RANGES.items():
    if not allowed.holds(_get(config, field)):
      yield _must(config, field, f'be {allowed}')
  for field, (allowed, size) in _TUPLES.items():
    yield from _outside_tuple(config, field, allowed, size)
  for field, names in _CHOICES.items():
    yield from _no_choice(config, field, names)
  for field in (*_PERIODS, _WARMUP):
    yield from _no_duration(config, field)


def _outside_tuple(
  config: ConfigDict, field: str, allowed: _Range, size: int | None
) -> Iterator[str]:
  value = _get(config, field)
  if not all(map(allowed.holds, value)) or len(value) != (
    size or max(len(value), 1)
  ):
    number = f'{size} numbers' if size else 'one or more numbers'
    yield _must(config, field, f'be {number}, each {allowed}')
  elif field in _INTERVALS and value[0] > value[1]:
    yield _must(config, field, 'be a lower and an upper end, in this order')


def _no_choice(
  config: ConfigDict, field: str, names: Sequence[str]
) -> Iterator[str]:
  value = _get(config, field)
  if value not in names:
    near = nearest(str(value), names)
    hint = f'; did you mean {near!r}' if near else ''
    allowed = ', '.join(map(repr, names))
    yield _must(
      config, field, f'be one of {allowed}{hint}', '?' if near else '.'
    )


def _no_duration(config: ConfigDict, field: str) -> Iterator[str]:
  try:
    length = schedules.steps(_get(config, field), 1, 1)
  except ValueError as error:
    yield f'config.{field}={_get(config, field)!r} is no duration. {error}'
    return
  if not length and field != _WARMUP:
    yield _must(config, field, 'be longer than 0')


def _batch(config: ConfigDict, facts: _Facts) -> Iterator[str]:
  size = config.batch_size
  for count, what in (
    (facts.device_count, 'devices'),
    (facts.process_count, 'processes'),
  ):
    if size % count:
      yield _must(config, 'batch_size', f'be a multiple of the {count} {what}')
  if facts.examples is not None and size > facts.examples:
    yield _must(
      config, 'batch_size', f'be at most the {facts.examples} train images'
    )
  if 0 < config.data.labelled_per_batch < size and (
    facts.labelled is not None and facts.labelled == facts.examples
  ):
    yield _must(
      config,
      'data.labelled_per_batch',
      f'be 0 or batch_size={size} where every train image is labelled',
    )
  if config.data.labelled_per_batch > size:
    yield _must(
      config, 'data.labelled_per_batch', f'be at most batch_size={size}'
    )


def _data(config: ConfigDict, facts: _Facts) -> Iterator[str]:
  if facts.classes is not None and facts.classes < 2:
    yield _must(
      config, 'data.kind', f'give 2 or more classes, and gives {facts.classes}'
    )
  if facts.labelled == 0:
    yield _must(config, 'data.labels', 'leave at least one image its label')
  if config.data.kind == 'folder' and not config.data.path:
    yield _must(config, 'data.path', "name a folder where data.kind='folder'")
  if config.data.kind == 'tfrecord' and not config.data.path:
    yield _must(config, 'data.path', "name files where data.kind='tfrecord'")
  if config.data.kind == 'tfds' and not config.data.name:
    yield _must(config, 'data.name', "name a set where data.kind='tfds'")


def _schedule(config: ConfigDict, facts: _Facts) -> Iterator[str]:
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
    yield _must(config, _WARMUP, f'be at most as long as duration={duration!r}')


def _evaluation(config: ConfigDict, facts: _Facts) -> Iterator[str]:
  if config.eval.crop > config.eval.resize:
    yield _must(
      config, 'eval.crop', f'be at most eval.resize={config.eval.resize}'
    )
  if config.eval.batch_size % facts.device_count:
    yield _must(
      config,
      'eval.batch_size',
      f'be a multiple of the {facts.device_count} devices',
    )


def _sizes(config: ConfigDict, facts: _Facts) -> Iterator[str]:
  del facts
  fields = ['views.large.size', 'eval.crop']
  if config.views.small.count:
    fields.append('views.small.size')
  for field in fields:
    size = _get(config, field)
    if config.network.stem == 'space_to_depth' and size % 2:
      yield _must(config, field, "be even where network.stem='space_to_depth'")
    elif config.network.backbone == 'resnet_tiny' and size < 8:
      yield _must(
        config, field, "be at least 8 where network.backbone='resnet_tiny'"
      )


def _supervised(config: ConfigDict, facts: _Facts) -> Iterator[str]:
  output = config.network.projector.output
  if facts.classes is not None and output < facts.classes:
    yield _must(
      config,
      'network.projector.output',
      f'be at least the {facts.classes} classes, as it has their logits',
    )


def _semppl(config: ConfigDict, facts: _Facts) -> Iterator[str]:
  s, size = config.semppl, config.batch_size
  if not s.include_same_view and (
    config.views.large.count == 1 and not config.views.small.count
  ):
    yield _must(
      config,
      'semppl.include_same_view',
      'be True where there is one view, which has no other to compare with',
    )
  if s.num_negatives >= size:
    yield _must(
      config,
      'semppl.num_negatives',
      f'be below batch_size={size}, as negatives are other images',
    )
  try:
    rows = schedules.queue_rows(s.queue, size)
  except ValueError as error:
    yield f'config.semppl.queue={s.queue!r} is no size. {error}'
    return
  if rows < 1:
    yield _must(config, 'semppl.queue', 'be one or more rows')
    return
  if rows % facts.device_count:
    yield _must(
      config,
      'semppl.queue',
      f'be a multiple of the {facts.device_count} devices, and has {rows} rows',
    )
  expected = _labels_of_a_batch(config, facts)
  if rows < expected:
    yield _must(
      config,
      'semppl.queue',
      f'hold the {expected} labels of one batch, and has {rows} rows',
    )
  if s.k > rows:
    yield _must(config, 'semppl.k', f'be at most the {rows} rows of the queue')


def _labels_of_a_batch(config: ConfigDict, facts: _Facts) -> int:
  """Labelled rows of a batch, on average where their number is not fixed."""
  if config.data.labelled_per_batch:
    return config.data.labelled_per_batch
  if not facts.examples or facts.labelled is None:
    return 0
  return math.ceil(config.batch_size * facts.labelled / facts.examples)


def _nothing(config: ConfigDict, facts: _Facts) -> Iterator[str]:
  del config, facts
  return iter(())


_METHOD_CHECKS: dict[str, Callable[[ConfigDict, _Facts], Iterator[str]]] = {
  'semppl': _semppl,
  'supervised': _supervised,
}


def _must(config: ConfigDict, field: str, rule: str, end: str = '.') -> str:
  return f'config.{field}={_get(config, field)!r} must {rule}{end}'


def _get(config: ConfigDict, field: str) -> Any:
  value: Any = config
  for name in field.split('.'):
    value = value[name]
  return value
