"""Metadata beside an exported file."""

import json
import pathlib

from semppl_jax.exchange import metadata
from tests.helpers import random_weights


def test_it_stands_beside_the_file_and_is_read_back(tmp_path):
  weights = random_weights.make()
  path = tmp_path / 'network.onnx'
  content = metadata.describe(weights, ('projector',), 'onnx')
  metadata.write(path, content)
  assert metadata.path_of(path) == tmp_path / 'network.onnx.json'
  assert metadata.read(path) == json.loads(json.dumps(content))


def test_it_says_what_goes_in_and_what_comes_out():
  weights = random_weights.make()
  content = metadata.describe(weights, ('projector',), 'onnx')
  side = weights.preprocessing.crop
  assert content['input']['shape'] == ['B', side, side, 3]
  assert content['input']['dtype'] == 'uint8'
  assert content['outputs'].keys() == {'features', 'projection'}
  assert content['format'] == 'onnx'
  # Not yet compared with the original.
  assert content['measured'] is None


def test_a_directory_has_it_beside_itself_too():
  assert metadata.path_of(pathlib.Path('a/model')) == pathlib.Path(
    'a/model.json'
  )
