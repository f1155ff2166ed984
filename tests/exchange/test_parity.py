"""The table of benchmarks/parity.py, which the README shows."""

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _load():
  path = ROOT / 'benchmarks' / 'parity.py'
  spec = importlib.util.spec_from_file_location('parity', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


parity = _load()


def test_the_table_has_formats_down_and_architectures_across():
  cells = {
    ('onnx', 'same', 'ResNet-18'): '1e-07',
    ('safetensors', 'torch', 'WRN-28-2'): '2e-07',
    ('onnx', 'torch', 'ResNet-18'): '3e-07',
  }
  assert parity.table(cells).splitlines() == [
    '| format | padding | ResNet-18 | WRN-28-2 |',
    '| --- | --- | --- | --- |',
    '| safetensors | torch |  | 2e-07 |',
    '| onnx | torch | 3e-07 |  |',
    '| onnx | same | 1e-07 |  |',
  ]


@pytest.mark.slow
def test_every_format_is_measured():
  pytest.importorskip('torch')
  pytest.importorskip('jax2onnx')
  formats = list(parity.FORMATS)
  cells = parity.measure('WRN-28-2', 'torch', formats, 32, 2)
  assert cells.pop('deepmind') == 'refused'
  assert set(cells) == set(formats) - {'deepmind'}
  assert all(float(value) < 1e-5 for value in cells.values())
