"""The rows of the table are the configs, on the slices that these name."""

import pathlib
import re

import pytest

from semppl_jax.config import loading
from semppl_jax.config.loading import ConfigError
from semppl_jax.tools.compile import topologies

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAMED = {
  f'configs/{path.name}': found[1]
  for path in sorted((ROOT / 'configs').glob('*.py'))
  if (found := re.search(r'\((v\d\w*:[\dx]+)\)', path.read_text()))
}
# What no part of the train step depends on.
FREE = {'data.labels', 'duration', 'network.classifier.classes'}


def _flat(path):
  config = loading.load(ROOT / path)
  text = {}
  for name in loading.to_flat_dict(config):
    value = config
    for part in name.split('.'):
      value = value[part]
    text[name] = value
  return text


@pytest.mark.parametrize('path', NAMED)
def test_every_config_of_a_slice_has_a_row_or_takes_the_step_of_one(path):
  if path.endswith('_1pct.py'):
    twin = path.replace('_1pct', '_10pct')
    ours, theirs = _flat(path), _flat(twin)
    assert {name for name in ours if ours[name] != theirs[name]} <= FREE
    assert NAMED[path] == NAMED[twin]
    path = twin
  assert topologies.Row(path, NAMED[path]) in topologies.ROWS


def test_no_row_is_there_twice_and_each_has_its_file():
  assert len({*topologies.ROWS}) == len(topologies.ROWS)
  assert all((ROOT / row.config).is_file() for row in topologies.ROWS)
  chips = {row.topology.split(':')[0] for row in topologies.ROWS}
  assert chips == {'v3', 'v4', 'v5e', 'v6e'}


def test_slices_by_cores():
  assert topologies.core_counts('v3') == [8, 32, 128, 512, 2048]
  assert topologies.with_cores('v3', 128) == 'v3:8x8'
  with pytest.raises(ConfigError, match='v5e has slices of 8, 32, 128, 256'):
    topologies.with_cores('v5e', 512)
  with pytest.raises(ConfigError, match='--chip=v9 must be one of v3, v4'):
    topologies.with_cores('v9', 8)


@pytest.mark.parametrize(
  ('topology', 'cores', 'need', 'larger'),
  [
    ('v3:8x8', 128, 1.2, 'v3:16x16'),
    ('v3:4x4', 32, 20.0, 'v3:32x32'),
    ('v3:4x2', 16, 1.0, 'v3:4x4'),
    ('v3:32x32', 2048, 1.5, None),
    ('v9:2x2', 8, 1.5, None),
  ],
)
def test_the_next_slice_that_may_do(topology, cores, need, larger):
  assert topologies.larger(topology, cores, need) == larger


def test_rows_are_selected_by_config_and_slice():
  found = topologies.select(topologies.ROWS, '^resnet50_10pct v[35]')
  assert [x.topology for x in found] == ['v3:8x8', 'v5e:8x8']
  assert topologies.select(topologies.ROWS, '') == [*topologies.ROWS]
  with pytest.raises(ConfigError, match='matches no row; rows are resnet50_10'):
    topologies.select(topologies.ROWS, 'vgg')
  with pytest.raises(ConfigError, match='is not a regular expression'):
    topologies.select(topologies.ROWS, '(')
