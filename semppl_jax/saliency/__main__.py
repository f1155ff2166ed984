r"""Makes the saliency masks of a data set, for training.

  python -m semppl_jax.saliency --data=IMAGES --out=DIR
  python -m semppl_jax.main ... --config.data.saliency=DIR

IMAGES is a folder, a glob of TFRecord files, `tfds:NAME` or `embedded`; with
`--config=FILE` in its place, the train images of that config. The same command
continues a stopped one, and the number of workers changes no byte.
`--runner=NAME` makes them by an Apache Beam pipeline instead (extra `[beam]`).

  python -m semppl_jax.saliency --train_network --data=IMAGES --out=DIR

trains a small network on the detectors' maps of some images, without a label,
and writes DIR/network.safetensors, which `--network=FILE` takes in place of a
detector.
"""

import datetime
import os
import pathlib
import shlex
import time

from absl import flags
import jax

from semppl_jax.config import loading
from semppl_jax.data import dataset, masks
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.masks import StoreInfo
from semppl_jax.runtime import cli, errors, files, signals
from semppl_jax.saliency import (
  beam,
  contact_sheet,
  detectors,
  generate,
  mask_fn,
  shards as shards_lib,
)

_CONFIG = loading.define_flag()
_DATA = flags.DEFINE_string(
  'data', None, "Folder, TFRecord glob, 'tfds:NAME' or 'embedded'."
)
_OUT = flags.DEFINE_string('out', None, 'Folder of the masks, or the network.')
_DETECTOR = flags.DEFINE_string(
  'detector', 'mean', 'Name of a saliency detector.'
)
_NETWORK = flags.DEFINE_string(
  'network', None, 'File of a mask network, in place of a detector.'
)
_TRAIN = flags.DEFINE_boolean(
  'train_network', False, 'Train a mask network, and make no masks.'
)
_TRAIN_IMAGES = flags.DEFINE_integer(
  'train_images', 2500, 'Most images that it is trained on.', 32
)
_EPOCHS = flags.DEFINE_list(
  'epochs', ['8', '4', '4'],
  "Epochs on the detectors' maps, on its own maps, and of the fused map.",
)  # fmt: skip
_THRESHOLD = flags.DEFINE_float(
  'threshold', 0.5, 'Foreground is where the map is above this.'
)
_WORKERS = flags.DEFINE_integer('workers', 0, 'Processes; 0: one per core.')
_SHOW = flags.DEFINE_integer(
  'show', 0, 'First draw so many images with their maps and masks.'
)
_RUNNER = flags.DEFINE_string(
  'runner', None, 'Beam runner, such as DirectRunner (default: no Beam).'
)
_BEAM_ARGS = flags.DEFINE_string(
  'beam_args', '', 'Flags of Beam and its runner, in one string.'
)
_CONTINUE = 'Files written before are whole; the same command continues.'
_CONTINUE_TRAINING = (
  "The detectors' maps and the finished epochs are saved; the same command"
  ' continues.'
)
# Flags that the other mode ignores.
_NOT_TO_TRAIN = (
  'network', 'detector', 'threshold', 'show', 'runner', 'beam_args'
)  # fmt: skip
_NOT_TO_MAKE = ('epochs', 'train_images')


def main(_) -> int:
  """Makes masks or trains a network, and returns the exit status."""
  return cli.run_cli(_run, _CONTINUE_TRAINING if _TRAIN.value else _CONTINUE)


def _run() -> int:
  try:
    with signals.raise_at_signal():
      if _TRAIN.value:
        print(_train_network())  # noqa: T201
        return errors.OK
      info = _make_masks()
  except ValueError as error:
    raise errors.InputError(str(error)) from error
  print(f'{_OUT.value}: {generate.describe(info)}.')  # noqa: T201
  return errors.OK


def _make_masks() -> StoreInfo:
  """Makes the missing masks of the store and returns its description."""
  _check_flags()
  folder = os.path.expanduser(_OUT.value or '')
  if _NETWORK.value is not None:
    # As in the workers, of which only one could have an accelerator.
    jax.config.update('jax_platforms', 'cpu')
    file = os.path.expanduser(_NETWORK.value)
    maker = mask_fn.network_maker(file, _THRESHOLD.value)
  else:
    maker = mask_fn.detector_maker(_DETECTOR.value, _THRESHOLD.value)
  data, name = _images()
  info = generate.begin(folder, data, name, maker)
  if _SHOW.value:
    sheet = os.path.join(folder, contact_sheet.FILE)
    contact_sheet.write(sheet, data, _SHOW.value, maker)
  if info.counts is not None:
    return info
  shards = shards_lib.split_dataset(data, folder)
  if not _RUNNER.value:
    counts = generate.make_all(shards, maker, _processes())
    return generate.finish(folder, info, counts)
  arguments = shlex.split(_BEAM_ARGS.value)
  beam.make_all(folder, info, shards, _RUNNER.value, arguments)
  finished = masks.read_info(folder, f'--out={folder}')
  assert finished is not None
  return finished


def _images() -> tuple[Dataset, str]:
  """Returns the images and their name."""
  place = _DATA.value
  config = generate.data_config(place) if place else _CONFIG.value.data
  return dataset.load(config).train, generate.data_name(config)


def _train_network() -> str:
  """Trains a network, unless its file exists, and returns a message."""
  from semppl_jax.saliency import network, network_io, train, training_data

  _check_flags()
  epochs = train.parse_epochs(_EPOCHS.value)
  settings = network.Settings(tuple(detectors.DETECTORS))
  if '://' in (_OUT.value or ''):
    raise loading.ConfigError(
      f'--out={_OUT.value} must be a folder of this machine to train a network;'
      ' its file can be copied.'
    )
  folder = os.fspath(files.output_dir(_OUT.value))
  began = time.monotonic()
  shards, training_set = training_data.select(
    folder, *_images(), _TRAIN_IMAGES.value, settings
  )
  origin = train.fingerprint(training_set, epochs)
  file = os.path.join(folder, 'network.safetensors')
  if network_io.is_trained(file, origin):
    return f'{file} was written before.'
  data = training_data.make(shards, training_set, settings, _processes())
  progress = os.path.join(folder, 'progress.npz')
  trained = train.train(data, settings, epochs, checkpoint=(progress, origin))
  network_io.write(file, *trained, origin)
  pathlib.Path(progress).unlink(missing_ok=True)
  took = datetime.timedelta(seconds=round(time.monotonic() - began))
  return f'{file} is written, {took} after the start.'


def _processes() -> int:
  return _WORKERS.value or os.cpu_count() or 1


def _check_flags() -> None:
  if not _OUT.value or bool(_DATA.value) == (_CONFIG.value is not None):
    raise loading.ConfigError(
      '--out and one of --data and --config are needed, as in'
      ' --data=IMAGES --out=DIR.'
    )
  if _WORKERS.value < 0 or _SHOW.value < 0:
    raise loading.ConfigError('--workers and --show must be at least 0.')
  if _TRAIN.value:
    _check_absent('--train_network', _NOT_TO_TRAIN)
  else:
    _check_absent('Making masks, without --train_network,', _NOT_TO_MAKE)
    if _NETWORK.value is not None:
      _check_absent('--network', ('detector',))
  if _RUNNER.value:
    beam.check_installed(_RUNNER.value)


def _check_absent(mode: str, names: tuple[str, ...]) -> None:
  unused = [x for x in names if flags.FLAGS[x].present]
  if unused:
    raise loading.ConfigError(
      f'{mode} has no use for {", ".join(f"--{x}" for x in unused)}.'
    )


if __name__ == '__main__':
  cli.start(main, loading.parse_optional_config)
