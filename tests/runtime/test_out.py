"""Where programs write is known before they work."""

import pytest

from semppl_jax.config.loading import ConfigError
from semppl_jax.runtime import out


def test_what_cannot_be_written_is_one_sentence(tmp_path):
  (tmp_path / 'file').write_text('')
  inside = str(tmp_path / 'file' / 'made' / 'report.json')
  for make in (out.file, out.folder):
    with pytest.raises(ConfigError, match=r'--out=.* cannot be written: Not a'):
      make(inside)
    with pytest.raises(ConfigError, match=r'--out=.* says where'):
      make(None)
  with pytest.raises(ConfigError, match='it is a folder'):
    out.file(str(tmp_path))


def test_folders_are_made_and_left_empty(tmp_path):
  made = out.file(str(tmp_path / 'a' / 'report.json'))
  assert made.parent.is_dir() and not [*made.parent.iterdir()]
  assert out.folder(str(tmp_path / 'b')).is_dir()
