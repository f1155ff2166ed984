"""The table of benchmarks/parity.py, which docs/weights.md shows."""

import importlib.util
import pathlib
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _load():
  path = ROOT / 'benchmarks' / 'parity.py'
  spec = importlib.util.spec_from_file_location('parity', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


sys.path.insert(0, str(ROOT / 'benchmarks'))  # They import each other.
parity = _load()


def test_the_table_has_formats_down_and_architectures_across():
  cells = {
    ('onnx', 'same', 'ResNet-18'): parity.Cell(1e-7, 1e-4),
    ('safetensors', 'torch', 'WRN-28-2'): parity.Cell(2e-7, 1e-4),
    ('onnx', 'torch', 'ResNet-18'): parity.Cell(0.0, 1e-4),
    ('deepmind', 'torch', 'ResNet-18'): parity.Cell(None, 1e-6, 'So.'),
  }
  assert parity.table(cells).splitlines() == [
    '| format | padding | ResNet-18 | WRN-28-2 |',
    '| --- | --- | --- | --- |',
    '| safetensors | torch |  | 2e-07 |',
    '| deepmind | torch | refused |  |',
    '| onnx | torch | 0 |  |',
    '| onnx | same | 1e-07 |  |',
  ]


@pytest.mark.parametrize(
  ('apart', 'status'), [(1e-4, 0), (2e-4, 1), (np.nan, 1), (np.inf, 1)]
)
def test_a_cell_over_its_tolerance_is_a_failure(capsys, apart, status):
  cells = {
    ('onnx', 'same', 'ResNet-18'): parity.Cell(1e-7, 1e-4),
    ('onnx', 'torch', 'ResNet-18'): parity.Cell(apart, 1e-4),
    ('deepmind', 'torch', 'ResNet-18'): parity.Cell(None, 1e-6, 'So.'),
    ('deepmind', 'torch', 'WRN-28-2'): parity.Cell(None, 1e-6, 'So.'),
  }
  assert parity.report(cells) == status
  said = capsys.readouterr()
  assert said.out.count('deepmind: So.') == 1
  assert ('Over its tolerance: onnx, torch, ResNet-18.' in said.err) == status


@pytest.mark.slow
def test_every_format_is_measured():
  pytest.importorskip('torch')
  pytest.importorskip('jax2onnx')
  formats = list(parity.FORMATS)
  cells = parity.measure('WRN-28-2', 'torch', formats, 32, 2)
  assert cells.pop('deepmind').reason
  assert set(cells) == set(formats) - {'deepmind'}
  assert all(cell.apart < 1e-5 for cell in cells.values())
