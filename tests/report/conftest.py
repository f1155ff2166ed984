"""Data of a run, without training it."""

import pytest

from semppl_jax.report import run_inputs, run_record
from tests.helpers import tiny


@pytest.fixture
def inputs(images, tmp_path):
  """The opened data of a run that has only its config."""
  path = tmp_path / 'run'
  path.mkdir()
  (path / 'config.json').write_text(tiny.config(images, 12).to_json())
  (record,) = run_record.read_all([path])
  return run_inputs.load(record)
