"""The folder of sample photographs: sizes, labels and classes."""

import collections
import csv
import io
import subprocess
import sys

from PIL import Image


def _run(root, *arguments):
  """Runs the command: two of them in one process would share their flags."""
  return subprocess.run(
    [
      *(sys.executable, '-m', 'semppl_jax.tools.sample_photos'),
      *(f'--out={root}', *arguments),
    ],
    capture_output=True,
    text=True,
    check=False,
  )


def _labels(root):
  with (root / 'labels.csv').open(newline='') as file:
    head, *rows = csv.reader(file)
  return head, rows


def test_a_folder_has_images_some_labels_and_a_test_set(tmp_path):
  done = _run(
    tmp_path, '--classes=3', '--images=40', '--labelled=12', '--test=10'
  )
  assert done.returncode == 0, done.stderr
  assert '40 images, 12 of them with a label' in done.stdout
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
  done = _run(tmp_path)
  assert done.returncode == 2
  assert 'must be a new or empty folder' in done.stderr
  assert [x.name for x in tmp_path.iterdir()] == ['file']
