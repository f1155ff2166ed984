import pytest
import tiny


@pytest.fixture(scope='session')
def images(tmp_path_factory):
  root = tmp_path_factory.mktemp('images')
  tiny.write_images(root / 'train')
  tiny.write_images(root / 'test', each=9)
  return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('SEMPPL_JAX_CACHE', str(tmp_path / 'cache'))
