"""Files of mask networks, and the maps of the detector of a file."""

import jax
import numpy as np
import pytest

from semppl_jax.saliency import network_io
from tests.helpers.mask_networks import init, SMALL


@pytest.mark.parametrize('shape', [(1, 1), (1, 300), (7, 5), (90, 120)])
def test_every_image_has_a_map(network_file, shape):
  detect = network_io.load_detector(network_file)
  image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
  found = detect(image)
  assert found.shape == shape
  assert found.min() >= 0 and found.max() <= 1
  plain = detect(np.full((*shape, 3), 90, np.uint8))
  assert not plain.any()


def test_a_file_is_read_as_it_was_written(tmp_path):
  path = str(tmp_path / 'network.safetensors')
  network_io.write(path, SMALL, init())
  settings, params, _ = network_io.read(path)
  assert settings == SMALL
  for a, b in zip(
    jax.tree.leaves(params), jax.tree.leaves(init()), strict=True
  ):
    np.testing.assert_array_equal(a, b)


def test_files_that_are_none_are_named(tmp_path):
  from safetensors.numpy import save_file

  path = tmp_path / 'x.safetensors'
  with pytest.raises(ValueError, match=r'--network=.* is not a file of a mask'):
    network_io.read(str(path))
  path.write_bytes(b'nothing')
  with pytest.raises(ValueError, match=r'--network=.* is not a file of a mask'):
    network_io.read(str(path))
  save_file({'a': np.zeros(2)}, path)
  with pytest.raises(ValueError, match='of a mask network of version 1'):
    network_io.read(str(path))
  save_file({'a': np.zeros(2)}, path, {'mask_network': '[1]'})
  with pytest.raises(ValueError, match='of a mask network of version 1'):
    network_io.read(str(path))
  params = init()
  params['heads']['w'] = params['heads']['w'][..., :1]
  network_io.write(str(path), SMALL, params)
  with pytest.raises(ValueError, match='its weights are not those'):
    network_io.read(str(path))
  params['heads']['w'] = np.full_like(init()['heads']['w'], np.nan)
  network_io.write(str(path), SMALL, params)
  with pytest.raises(ValueError, match='some of its weights are not finite'):
    network_io.read(str(path))
  for wrong in (SMALL._replace(side=40), SMALL._replace(width=6)):
    network_io.write(str(path), wrong, init())
    with pytest.raises(ValueError, match='a multiple of'):
      network_io.read(str(path))
  with pytest.raises(ValueError, match='is not a file of a mask network'):
    network_io.read(str(tmp_path))  # A folder.
  network_io.write(str(path), SMALL, init())
  path.write_bytes(path.read_bytes()[:-100])
  with pytest.raises(ValueError, match='is not a file of a mask network'):
    network_io.read(str(path))


def test_a_network_is_not_written_over(network_file, tmp_path):
  settings, params, _ = network_io.read(network_file)
  path = str(tmp_path / 'network.safetensors')
  assert not network_io.is_trained(path, 'this')
  network_io.write(path, settings, params, 'this')
  assert network_io.is_trained(path, 'this')
  with pytest.raises(ValueError, match='was trained on other images or for'):
    network_io.is_trained(path, 'that')
