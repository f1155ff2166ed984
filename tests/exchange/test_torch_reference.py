"""Reference networks in PyTorch."""

import numpy as np
import pytest
import torch

from semppl_jax.exchange import torch_reference


def test_forward_says_what_it_lacks(small):
  with pytest.raises(KeyError):
    torch_reference.TorchNetwork({}, small).linear(None, 'fc')


def test_a_head_is_layers_norms_and_relus_in_turn(small):
  """Against the same perceptron, written out."""
  rng = np.random.default_rng(0)
  draw = lambda *shape: torch.from_numpy(rng.random(shape, np.float32))
  state = {'proj.fc1.weight': draw(6, 16), 'proj.fc1.bias': draw(6)}
  state |= {'proj.fc2.weight': draw(4, 6), 'proj.fc2.bias': draw(4)}
  for name in ('weight', 'bias', 'running_mean', 'running_var'):
    state[f'proj.bn1.{name}'] = draw(6)
  x = draw(5, 16)
  found = torch_reference.TorchNetwork(state, small).head(x, 'proj').numpy()
  s = {k.removeprefix('proj.'): v.numpy() for k, v in state.items()}
  y = x.numpy() @ s['fc1.weight'].T + s['fc1.bias']
  y = (y - s['bn1.running_mean']) / np.sqrt(s['bn1.running_var'] + small.bn_eps)
  y = np.maximum(y * s['bn1.weight'] + s['bn1.bias'], 0)
  np.testing.assert_allclose(
    found, y @ s['fc2.weight'].T + s['fc2.bias'], rtol=1e-5
  )
