"""Folder of compiled programs."""

import pathlib

import jax
import pytest

from semppl_jax.runtime import cache

NAME = 'jax_compilation_cache_dir'


@pytest.fixture(autouse=True)
def restored():
  before = jax.config.values[NAME]
  yield
  jax.config.update(NAME, before)


def test_they_are_kept_by_kind_of_processor(tmp_path, monkeypatch):
  monkeypatch.setenv('SEMPPL_JAX_CACHE', str(tmp_path))
  cpuinfo = tmp_path / 'cpuinfo'
  monkeypatch.setattr(cache, '_CPUINFO', cpuinfo)
  folders = []
  for text in (
    'flags : sse avx\nMHz : 1\n',
    'flags : sse avx\nMHz : 2\n',
    'flags : sse\n',
  ):
    cpuinfo.write_text(text)
    jax.config.update(NAME, None)
    cache.enable_compilation_cache()
    folders.append(jax.config.values[NAME])
  assert folders[0] == folders[1] != folders[2]
  for folder in folders:
    assert pathlib.Path(folder).parent == tmp_path / 'compiled'


def test_a_folder_that_jax_was_told_stays():
  jax.config.update(NAME, '/elsewhere')
  cache.enable_compilation_cache()
  assert jax.config.values[NAME] == '/elsewhere'
