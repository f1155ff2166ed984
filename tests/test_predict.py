"""The commands `select` and `predict`, one after the other."""

import csv
import shutil
import subprocess
import sys

from PIL import Image
import pytest

from semppl_jax.data.sources.folder import read_folder
from semppl_jax.exchange import weights_dir
from tests.helpers import tiny


def _run(command, *arguments):
  return subprocess.run(
    [sys.executable, '-m', f'semppl_jax.{command}', *map(str, arguments)],
    capture_output=True,
    text=True,
    check=False,
  )


@pytest.fixture(scope='module')
def place(images, tmp_path_factory):
  """A network, and a flat folder of images whose names tell their class."""
  root = tmp_path_factory.mktemp('place')
  weights_dir.write(
    root / 'weights',
    tiny.weights(tiny.config(images), ())._replace(class_names=()),
  )
  (root / 'images').mkdir()
  for file in (images / 'train').rglob('*.png'):
    shutil.copy(file, root / 'images' / f'{file.parent.name}-{file.name}')
  return root


def _rows(file):
  with open(file, newline='') as stream:
    return list(csv.DictReader(stream))


def test_chosen_images_are_labelled_and_teach_the_others(place, tmp_path):
  common = (f'--checkpoint={place / "weights"}', f'--images={place / "images"}')
  chosen = tmp_path / 'to_label.csv'
  done = _run('select', *common, '--count=8', f'--out={chosen}')
  assert done.returncode == 0, done.stderr
  assert '8 of 48 images to label' in done.stdout
  assert Image.open(f'{chosen}.png').size[0] > 500
  rows = _rows(chosen)
  assert len(rows) == 8 and {row['label'] for row in rows} == {''}
  with open(chosen, 'w') as stream:  # What a person would do.
    stream.write('path,label\n')
    for row in rows:
      stream.write(f'{row["path"]},{row["path"].split("-")[0]}\n')

  out = tmp_path / 'labels.csv'
  done = _run(
    'predict', *common, f'--labels_file={chosen}', f'--out={out}',
    '--min_probability=0.6',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert 'of 40 images labelled' in done.stdout
  predicted = _rows(out)
  assert len(predicted) == 40
  sure = [row for row in predicted if row['label']]
  right = [row['path'].startswith(row['label']) for row in sure]
  assert len(sure) > 20 and sum(right) > 0.9 * len(sure)
  for row in predicted:
    assert (float(row['probability']) >= 0.6) == bool(row['label'])
    assert float(row['second_probability']) <= float(row['probability'])
  # The file is a labels file of the next run.
  folder = read_folder(str(place / 'images'), str(out))
  assert (folder.labels >= 0).sum() == len(sure)


@pytest.mark.parametrize(
  ('command', 'arguments', 'sentence'),
  [
    ('select', (), '--checkpoint, --images and --out are needed'),
    ('select', ('--count=49',), '--count=49 exceeds the 48 unlabelled images'),
    ('predict', (), '--checkpoint, --images and --out are needed'),
    ('predict', ('--by=forest',), '--by=forest must be one of classifier'),
  ],
)
@pytest.mark.slow
def test_bad_input_is_one_sentence(
  place, tmp_path, command, arguments, sentence
):
  if arguments:
    arguments += (
      f'--checkpoint={place / "weights"}', f'--images={place / "images"}',
      f'--out={tmp_path / "out.csv"}',
    )  # fmt: skip
  done = _run(command, *arguments)
  assert done.returncode == 2 and sentence in done.stderr
  assert len(done.stderr.splitlines()) == 1
  assert not [*tmp_path.iterdir()]
