"""Writes a small folder of photographs, few of them labelled, to try things on.

  python -m semppl_jax.tools.sample_photos --out=photos

`photos/images` has the images without any order, `photos/labels.csv` the labels
of a few of them, and `photos/test` others, a folder for each class. They are
those of the quick start: a part of CIFAR-10, 32 pixels wide.
"""

from collections.abc import Iterator, Sequence
import csv
import pathlib

from absl import flags
import numpy as np

from semppl_jax.config import loading
from semppl_jax.runtime import cli, errors

_OUT = flags.DEFINE_string('out', None, 'Folder to write.')
_IMAGES = flags.DEFINE_integer('images', 1500, 'Images to learn from.', 10)
_LABELLED = flags.DEFINE_integer('labelled', 120, 'Those with a label.', 10)
_TEST = flags.DEFINE_integer('test', 600, 'Images to be judged by.', 10)
_CLASSES = flags.DEFINE_integer('classes', 4, 'Classes they are of.', 2, 10)
_TITLE = ('path', 'label')


def main(_: Sequence[str]) -> int:
  """Runs what the flags say and returns the exit status."""
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
  """Writes the folder and returns how many of each kind there are.

  Args:
    root: an empty folder.
    classes: how many classes they are of.
    images: images to learn from.
    labelled: those that labels.csv lists, about as many of each class.
    test: images to be judged by.
  """
  (root / 'images').mkdir()
  listed = []
  photos = [*_photos('train', classes, images)]
  for number, (content, name) in enumerate(photos):
    file = f'photo_{number:04}.jpg'
    (root / 'images' / file).write_bytes(content)
    listed.append((file, name))
  chosen = _of_each([name for _, name in listed], labelled)
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
  """The first JPEG files of some classes, with the names of these."""
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


def _of_each(names: Sequence[str], count: int) -> list[int]:
  """Positions of so many names, as many of each as can be, in order."""
  seen: dict[str, int] = {}
  turn = []
  for name in names:
    seen[name] = seen.get(name, 0) + 1
    turn.append(seen[name])
  return sorted(np.argsort(turn, kind='stable')[:count].tolist())


if __name__ == '__main__':
  cli.start(main)
