"""Files of the commands: nothing that exists is lost."""

import numpy as np
from PIL import Image
import pytest

from semppl_jax.exchange import weights_dir
from semppl_jax.labelling import command
from semppl_jax.runtime.errors import InputError
from tests.helpers import tiny


@pytest.fixture
def given(images, tmp_path):
  """Flags of a network and a folder."""
  path = tmp_path / 'weights'
  weights_dir.write(path, tiny.weights(tiny.config(images), ()))
  return command.Flags(
    str(path), str(images / 'test'), str(tmp_path / 'out.csv'), ''
  )


def test_a_file_that_exists_is_not_replaced(given, tmp_path):
  file = tmp_path / 'out.csv'
  file.write_text('path,label\na.png,filled in by hand\n')
  with pytest.raises(InputError, match='exists; name another file'):
    command.open_work(given)
  assert 'by hand' in file.read_text()


def test_table_and_pictures_are_written(given):
  work = command.open_work(given)
  assert work.data.size == 18 and (work.data.labels == -1).all()
  work.write([('path', 'label'), (work.data.ids[3], 'a "b"')], [(3, 'three')])
  assert work.out.read_text() == f'path,label\n{work.data.ids[3]},"a ""b"""\n'
  assert np.asarray(Image.open(work.sheet)).std() > 0


@pytest.mark.parametrize('flag', ['checkpoint', 'images', 'out'])
def test_a_missing_flag_is_named(given, flag):
  with pytest.raises(InputError, match='--checkpoint, --images and --out'):
    command.open_work(given._replace(**{flag: None}))
