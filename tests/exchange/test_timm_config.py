"""Configs beside files of timm."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from semppl_jax.exchange import inference, load
from semppl_jax.models.weights import WeightsError
from tests.helpers import random_weights, torch_networks


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """timm's own `efficientnet_lite0` as the hub keeps it."""
  folder = tmp_path_factory.mktemp('hub')
  module = torch_networks.randomise(
    torch_networks.build('timm_efficientnet_lite0')
  )
  safetensors.torch.save_file(
    module.state_dict(), folder / 'model.safetensors', {'format': 'pt'}
  )
  own = module.default_cfg
  kept = ('input_size', 'crop_pct', 'interpolation', 'mean', 'std')
  config = {
    'architecture': 'efficientnet_lite0',
    'pretrained_cfg': {name: own[name] for name in kept},
  }
  (folder / 'config.json').write_text(json.dumps(config))
  return folder, module, config


@pytest.mark.parametrize('side', [64, 75])
def test_the_architecture_decides_what_names_do_not(saved, side):
  folder, module, config = saved
  weights = load.import_file(folder / 'model.safetensors').weights
  assert weights.network.padding == 'torch'
  own = config['pretrained_cfg']
  assert weights.preprocessing.mean == tuple(own['mean'])
  assert weights.preprocessing.crop == own['input_size'][-1]
  assert weights.preprocessing.resize == int(224 / own['crop_pct'])
  images = random_weights.pixels(2, side)
  weights = weights._replace(
    preprocessing=weights.preprocessing._replace(crop=side)
  )
  have = inference.make_host_fn(weights)(images)['features']
  pixels = torch.from_numpy(np.moveaxis(images, -1, 1).copy()).float() / 255
  mean, std = (
    torch.tensor(own[name]).reshape(3, 1, 1) for name in ('mean', 'std')
  )
  with torch.inference_mode():
    want = module((pixels - mean) / std).numpy()
  assert np.abs(have - want).max() <= 1e-4 * np.abs(want).max()


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    ({'std': [0, 1, 1]}, 'invalid preprocessing'),
    ({'interpolation': 'nearest'}, 'invalid preprocessing'),
    ({'input_size': []}, 'it needs input_size'),
    ({'crop_pct': 0}, 'it needs input_size'),
  ],
)
def test_an_impossible_preprocessing_is_one_sentence(
  saved, tmp_path, change, said
):
  folder, _, config = saved
  (tmp_path / 'model.safetensors').symlink_to(folder / 'model.safetensors')
  bad = config | {'pretrained_cfg': config['pretrained_cfg'] | change}
  (tmp_path / 'config.json').write_text(json.dumps(bad))
  with pytest.raises(WeightsError, match=said) as caught:
    load.import_file(tmp_path / 'model.safetensors')
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content', ['', '[1]', '{"a": 1}', '[' * 100_000])
def test_another_config_changes_nothing(saved, tmp_path, content):
  folder, _, _ = saved
  (tmp_path / 'model.safetensors').symlink_to(folder / 'model.safetensors')
  (tmp_path / 'config.json').write_text(content)
  weights = load.import_file(tmp_path / 'model.safetensors').weights
  assert weights.network.padding == 'same'
