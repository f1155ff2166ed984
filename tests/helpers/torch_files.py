"""Files as PyTorch writes them, and what their import says."""

import numpy as np
import pytest
import torch

from semppl_jax.exchange import load, torch_mapping
from semppl_jax.models.weights import WeightsError


def state(network, heads=()):
  """A state dict of random values, without PyTorch's own networks."""
  rng = np.random.default_rng(0)
  return {
    name: torch.from_numpy(rng.random(entry.torch_shape(), np.float32))
    for entry in torch_mapping.make_table(network, heads)
    for name in entry.torch_names
  }


def save_and_import(tmp_path, value, name='x.pth'):
  path = tmp_path / name
  torch.save(value, path)
  return load.import_file(path)


def refusal(tmp_path, value):
  """The sentence that refuses a file."""
  with pytest.raises(WeightsError) as caught:
    save_and_import(tmp_path, value)
  assert '\n' not in str(caught.value)
  return str(caught.value)
