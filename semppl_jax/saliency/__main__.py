r"""Makes the saliency masks of a data set, which training then takes.

  python -m semppl_jax.saliency --data=IMAGES --out=DIR
  python -m semppl_jax.main ... --config.data.saliency=DIR

IMAGES is a folder, a glob of TFRecord files, `tfds:NAME` or `embedded`; with
`--config=FILE` in its place, the train images of that config. What was stopped
goes on by the same command, and the number of workers changes no byte.
`--runner=NAME` makes them by an Apache Beam pipeline instead (extra `[beam]`).

  python -m semppl_jax.saliency --train_network --data=IMAGES --out=DIR

teaches a small network by the detectors on some of the images, without a label,
and writes DIR/network.safetensors, which `--network=FILE` takes in place of a
detector.
"""

import datetime
import os
import shlex
import time
from typing import Any

from absl import flags
import jax

from semppl_jax.config import loading
from semppl_jax.runtime import cli, errors

_CONFIG = loading.define_flag()
_DATA = flags.DEFINE_string(
  'data', None, "Folder, TFRecord glob, 'tfds:NAME' or 'embedded'."
)
_OUT = flags.DEFINE_string('out', None, 'Folder of the masks, or the network.')
_DETECTOR = flags.DEFINE_string('detector', 'mean', 'What makes a mask.')
_NETWORK = flags.DEFINE_string(
  'network', None, 'File of a mask network, in place of a detector.'
)
_TRAIN = flags.DEFINE_boolean(
  'train_network', False, 'Teach a mask network, and make no masks.'
)
_TRAIN_IMAGES = flags.DEFINE_integer(
  'train_images', 2500, 'It learns from so many images at most.', 32
)
_EPOCHS = flags.DEFINE_list(
  'epochs', ['8', '4', '4'],
  "Of it: on the detectors' maps, on its own, and of the one map from all.",
)  # fmt: skip
_THRESHOLD = flags.DEFINE_float(
  'threshold', 0.5, 'Where its map is above this, there is foreground.'
)
_WORKERS = flags.DEFINE_integer('workers', 0, 'Processes; 0: one per core.')
_SHOW = flags.DEFINE_integer(
  'show', 0, 'Draw so many images and what is made of them, first.'
)
_RUNNER = flags.DEFINE_string(
  'runner', None, 'Beam runner, such as DirectRunner (default: no Beam).'
)
_BEAM_ARGS = flags.DEFINE_string(
  'beam_args', '', 'Flags of Beam and its runner, in one string.'
)
_GO_ON = 'Files written before are whole; the same command goes on.'
_TEACH_ON = (
  'What the detectors found and the epochs learned so far are kept; the same'
  ' command goes on.'
)
# Flags that are of no use to what the others ask for.
_NOT_TO_TRAIN = (
  'network', 'detector', 'threshold', 'show', 'runner', 'beam_args'
)  # fmt: skip
_NOT_TO_MAKE = ('epochs', 'train_images')


def main(_) -> int:
  """Makes what the flags say and returns the exit status."""
  return cli.run_cli(_make, _TEACH_ON if _TRAIN.value else _GO_ON)


def _make() -> int:
  from semppl_jax.runtime import signals
  from semppl_jax.saliency import generate

  try:
    with signals.raise_at_signal():
      if _TRAIN.value:
        print(_train_network())  # noqa: T201
        return errors.OK
      facts = _store()
  except ValueError as error:
    raise errors.InputError(str(error)) from error
  print(f'{_OUT.value}: {generate.describe(facts)}.')  # noqa: T201
  return errors.OK


def _store() -> Any:
  """Makes what is missing of the store and returns its facts."""
  from semppl_jax.saliency import contact_sheet, generate, mask_fn

  _check_flags()
  folder = os.path.expanduser(_OUT.value or '')
  if _NETWORK.value is not None:
    # As in the workers, of which only one could have an accelerator.
    jax.config.update('jax_platforms', 'cpu')
    file = os.path.expanduser(_NETWORK.value)
    maker = mask_fn.of_network(file, _THRESHOLD.value)
  else:
    maker = mask_fn.of_detector(_DETECTOR.value, _THRESHOLD.value)
  data, name = _images()
  facts = generate.begin(folder, data, name, maker)
  if _SHOW.value:
    sheet = os.path.join(folder, contact_sheet.FILE)
    contact_sheet.write(sheet, data, _SHOW.value, maker)
  return _finished(folder, data, facts) if facts.counts is None else facts


def _images() -> tuple[Any, str]:
  """The images, and what they are called."""
  from semppl_jax.data import dataset
  from semppl_jax.saliency import images

  config = images.of(_DATA.value) if _DATA.value else _CONFIG.value.data
  return dataset.load(config).train, images.name(config)


def _train_network() -> str:
  """Teaches a network, unless it is there, and says where it is."""
  from semppl_jax.saliency import (
    detectors,
    network,
    network_io,
    progress,
    train,
    training_data,
  )

  _check_flags()
  course = train.course(_EPOCHS.value)
  settings = network.Settings(tuple(detectors.DETECTORS))
  folder = _own_folder()
  began = time.monotonic()
  plan = training_data.plan(folder, *_images(), _TRAIN_IMAGES.value, settings)
  origin = train.about(plan.about, course)
  file = os.path.join(folder, 'network.safetensors')
  if network_io.is_made(file, origin):
    return f'{file} was written before.'
  taught = training_data.collect(plan, _processes())
  keep = os.path.join(folder, 'progress.npz')
  made = train.learn(taught, settings, course, keep=(keep, origin))
  network_io.write(file, *made, origin)
  progress.remove(keep)
  took = datetime.timedelta(seconds=round(time.monotonic() - began))
  return f'{file} is written, {took} after the start.'


def _own_folder() -> str:
  """Makes the folder of `--out`, which is of this machine."""
  folder = os.path.expanduser(_OUT.value or '')
  if '://' in folder:
    raise loading.ConfigError(
      f'--out={folder} must be a folder of this machine, where a network is'
      ' taught; its file can be copied.'
    )
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as error:
    raise loading.ConfigError(
      f'--out={folder} must be a folder that can be written: {error}.'
    ) from error
  return folder


def _processes() -> int:
  return _WORKERS.value or os.cpu_count() or 1


def _check_flags() -> None:
  from semppl_jax.saliency import beam

  if not _OUT.value or bool(_DATA.value) == (_CONFIG.value is not None):
    raise loading.ConfigError(
      '--out and one of --data and --config are needed, as in'
      ' --data=IMAGES --out=DIR.'
    )
  if _WORKERS.value < 0 or _SHOW.value < 0:
    raise loading.ConfigError('--workers and --show must be at least 0.')
  if _TRAIN.value:
    _refuse('--train_network', _NOT_TO_TRAIN)
  else:
    _refuse('What makes masks, without --train_network,', _NOT_TO_MAKE)
    if _NETWORK.value is not None:
      _refuse('--network', ('detector',))
  if _RUNNER.value:
    beam.check(_RUNNER.value)


def _refuse(by: str, idle: tuple[str, ...]) -> None:
  unused = [x for x in idle if flags.FLAGS[x].present]
  if unused:
    raise loading.ConfigError(
      f'{by} has no use for {", ".join(f"--{x}" for x in unused)}.'
    )


def _finished(folder: str, data: Any, facts: Any) -> Any:
  from semppl_jax.data import masks
  from semppl_jax.saliency import beam, generate, shards as shards_lib

  pieces = shards_lib.cut(data, folder)
  if _RUNNER.value:
    arguments = shlex.split(_BEAM_ARGS.value)
    beam.make_all(folder, facts, pieces, _RUNNER.value, arguments)
    return masks.read_info(folder, f'--out={folder}')
  results = generate.make_all(pieces, facts.maker, _processes())
  return generate.finish(folder, facts, results)


if __name__ == '__main__':
  cli.start(main, loading.parse_optional_config)
