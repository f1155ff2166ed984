"""The folder of sample photographs: sizes, labels and classes."""

import collections
import csv
import io

from absl.testing import flagsaver
from PIL import Image
import pytest

from semppl_jax.runtime.errors import InputError
from semppl_jax.tools import sample_photos


def _labels(root):
  with (root / 'labels.csv').open(newline='') as file:
    head, *rows = csv.reader(file)
  return head, rows


def test_a_folder_has_images_some_labels_and_a_test_set(tmp_path):
  counts = sample_photos.write(
    tmp_path, classes=3, images=40, labelled=12, test=10
  )
  assert counts == (40, 12, 10)
  files = {x.name: x for x in (tmp_path / 'images').iterdir()}
  assert len(files) == 40
  head, rows = _labels(tmp_path)
  assert head == ['path', 'label']
  assert {path for path, _ in rows} <= {*files}
  # As many of each class as can be.
  assert [*collections.Counter(x for _, x in rows).values()] == [4, 4, 4]
  tests = [*(tmp_path / 'test').glob('*/*.jpg')]
  assert len(tests) == 10
  assert {x.parent.name for x in tests} <= {label for _, label in rows}
  image = Image.open(io.BytesIO(files[rows[0][0]].read_bytes()))
  assert image.size == (32, 32)


def test_a_folder_in_use_is_left_alone(tmp_path):
  (tmp_path / 'file').touch()
  in_use = pytest.raises(InputError, match='must be a new or empty folder')
  with flagsaver.as_parsed(out=str(tmp_path)), in_use:
    sample_photos._write()
  assert [x.name for x in tmp_path.iterdir()] == ['file']
