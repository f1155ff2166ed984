"""Writes a small folder of photographs, some of them labelled, as an example.

  python -m semppl_jax.tools.sample_photos --out=photos

`photos/images` has unsorted images, `photos/labels.csv` the labels of some of
them, and `photos/test` other images, in a folder for each class. They are those
of the quick start: a part of CIFAR-10, 32 pixels wide.
"""

from collections.abc import Iterator, Sequence
import csv
import pathlib

from absl import flags
import numpy as np

from semppl_jax.config import loading
from semppl_jax.runtime import cli, errors

_OUT = flags.DEFINE_string('out', None, 'Folder to write.')
_IMAGES = flags.DEFINE_integer('images', 1500, 'Training images.', 10)
_LABELLED = flags.DEFINE_integer(
  'labelled', 120, 'Labelled training images.', 10
)
_TEST = flags.DEFINE_integer('test', 600, 'Test images.', 10)
_CLASSES = flags.DEFINE_integer('classes', 4, 'Number of classes.', 2, 10)
_TITLE = ('path', 'label')


def main(_: Sequence[str]) -> int:
  """Writes the folder and returns the exit status."""
  return cli.run_cli(_write, 'Remove the folder and start again.')


def _write() -> int:
  from semppl_jax.runtime import files as files_lib

  root = files_lib.output_dir(_OUT.value)
  if any(root.iterdir()):
    raise loading.ConfigError(f'--out={root} must be a new or empty folder.')
  counts = write(
    root, _CLASSES.value, _IMAGES.value, _LABELLED.value, _TEST.value
  )
  print(  # noqa: T201
    f'{root}: {counts[0]} images, {counts[1]} of them with a label in'
    f' labels.csv; {counts[2]} test images.'
  )
  return errors.OK


def write(
  root: pathlib.Path, classes: int, images: int, labelled: int, test: int
) -> tuple[int, int, int]:
  """Writes the folder, and returns the numbers of the three kinds of images.

  Args:
    root: an empty folder.
    classes: number of classes.
    images: number of training images.
    labelled: number of those in labels.csv, about as many of each class.
    test: number of test images.
  """
  (root / 'images').mkdir()
  listed = []
  photos = [*_photos('train', classes, images)]
  for number, (content, name) in enumerate(photos):
    file = f'photo_{number:04}.jpg'
    (root / 'images' / file).write_bytes(content)
    listed.append((file, name))
  chosen = _balanced([name for _, name in listed], labelled)
  with (root / 'labels.csv').open('w', newline='') as stream:
    csv.writer(stream).writerows([_TITLE, *(listed[n] for n in chosen)])
  tests = [*_photos('test', classes, test)]
  for number, (content, name) in enumerate(tests):
    folder = root / 'test' / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'test_{number:04}.jpg').write_bytes(content)
  return len(photos), len(chosen), len(tests)


def _photos(
  split: str, classes: int, count: int
) -> Iterator[tuple[bytes, str]]:
  """Yields the first JPEG files of some classes, and the class names."""
  from semppl_jax.data import dataset
  from semppl_jax.data.sources import tfrecord_numpy

  config = loading.base().unlock()
  config.data.update(kind='embedded', backend='device')
  data = getattr(dataset.load(config.data), split)
  few = data.select(np.flatnonzero(data.labels < classes)[:count])
  for stored, label in zip(
    tfrecord_numpy.read_all(few.source), few.labels, strict=True
  ):
    yield stored.image, few.class_names[label]


def _balanced(names: Sequence[str], count: int) -> list[int]:
  """Positions of some names, about as many of each, ascending."""
  seen: dict[str, int] = {}
  turn = []
  for name in names:
    seen[name] = seen.get(name, 0) + 1
    turn.append(seen[name])
  return sorted(np.argsort(turn, kind='stable')[:count].tolist())


if __name__ == '__main__':
  cli.start(main)
