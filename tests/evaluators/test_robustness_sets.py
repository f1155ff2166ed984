"""Test sets of ImageNet classifiers: generated, with the real features."""

import itertools
import shutil

import numpy as np
from PIL import Image
import pytest

from semppl_jax.evaluators import imagenet_subsets, metrics, robustness_sets
from tests.helpers.prepared_sets import prepare


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('SEMPPL_JAX_CACHE', str(tmp_path / 'cache'))


def test_every_set_has_a_known_subset_and_metric():
  for found in robustness_sets.SETS.values():
    assert found.subset in imagenet_subsets.NAMES
    assert found.metric in ('top1', 'mce')
  assert len(robustness_sets.SETS['imagenet_v2'].variants) == 3
  assert len(robustness_sets.SETS['imagenet_c'].variants) == 75


def test_names_are_those_of_tensorflow_datasets():
  import tensorflow_datasets as tfds

  for found in robustness_sets.SETS.values():
    for name in found.variants.values():
      base, _, config = name.partition('/')
      configs = tfds.builder_cls(base).builder_configs
      assert config in configs or not (config or configs), name


@pytest.mark.parametrize(
  ('name', 'labels', 'want'),
  [
    # Class 0 is in neither list, 988 the last of both, 6 in both.
    ('imagenet_r', [1, 988, 0, 6], [0, 199, -1, 3]),
    ('imagenet_a', [6, 988, 0, 11], [0, 199, -1, 1]),
    ('imagenet_sketch', [1, 988, 0, 6], [1, 988, 0, 6]),
  ],
)
def test_a_set_of_one_part(tmp_path, name, labels, want):
  assert name in robustness_sets.absent(name, str(tmp_path))
  prepare(tmp_path, name, {'test': labels})
  assert robustness_sets.absent(name, str(tmp_path)) == ''
  ((variant, data),) = robustness_sets.load(name, str(tmp_path))
  assert variant == ''
  assert data.labels.tolist() == want
  assert data.ids.tolist() == [f'test{i}.jpg' for i in range(4)]
  subset = imagenet_subsets.subset(robustness_sets.SETS[name].subset)
  assert len(data.class_names) == len(subset.starts)
  assert data.class_names[want[1]] == 'n12267677'  # Class 988, acorn.
  # A classifier that is always right, though it favours a class outside.
  logits = np.eye(1000)[labels]
  logits[:, 0] += 2 * (name != 'imagenet_sketch')
  scores = imagenet_subsets.restrict(logits, subset)
  assert metrics.top_k(scores, data.labels) == 1


def test_a_set_of_three_parts(tmp_path):
  for part, label in zip(
    ('matched-frequency', 'threshold-0.7', 'topimages'), (3, 4, 5), strict=True
  ):
    name = f'imagenet_v2/{part}'
    reason = robustness_sets.absent('imagenet_v2', str(tmp_path))
    assert part in reason
    assert reason.endswith('.')
    prepare(tmp_path, name, {'test': [label]})
  parts = dict(robustness_sets.load('imagenet_v2', str(tmp_path)))
  assert {part: data.labels.tolist() for part, data in parts.items()} == {
    'matched-frequency': [3],
    'threshold-0.7': [4],
    'topimages': [5],
  }


def test_corruptions_are_75_sets(tmp_path):
  prepare(
    tmp_path, 'imagenet2012_corrupted/gaussian_noise_1', {'validation': [7, 8]}
  )
  home = tmp_path / 'imagenet2012_corrupted'
  reason = robustness_sets.absent('imagenet_c', str(tmp_path))
  assert '74 of 75 sets unprepared' in reason
  for part in robustness_sets.SETS['imagenet_c'].variants.values():
    place = tmp_path / part
    if not place.exists():
      shutil.copytree(home / 'gaussian_noise_1', place)
  parts = robustness_sets.load('imagenet_c', str(tmp_path))
  for severity, (part, data) in enumerate(itertools.islice(parts, 3), 1):
    assert part == f'gaussian_noise/{severity}'
    assert data.labels.tolist() == [7, 8]


def test_an_older_version_on_the_disk_is_read_and_nothing_is_downloaded(
  tmp_path, monkeypatch
):
  prepare(tmp_path, 'imagenet_r', {'test': [1]})
  home = tmp_path / 'imagenet_r'
  # Files name the split alone, and the version stands in the path.
  (home / '0.2.0').rename(home / '0.0.9')
  ((_, data),) = robustness_sets.load('imagenet_r', str(tmp_path))
  assert data.name == 'imagenet_r:0.0.9/test'
  # Without a folder of its own, that of tensorflow_datasets.
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  assert robustness_sets.absent('imagenet_r', '') == ''
  shutil.rmtree(home)
  with pytest.raises(ValueError, match=r"unprepared: 'imagenet_r'\.$"):
    robustness_sets.load('imagenet_r', '')


def test_objectnet_is_its_folder(tmp_path):
  root = tmp_path / 'objectnet-1.0' / 'images'
  assert 'not found' in robustness_sets.absent('objectnet', str(tmp_path))
  pixel = Image.new('RGB', (3, 2))
  for folder in (*imagenet_subsets.OBJECTNET, 'air_freshener', 'zip_up'):
    (root / folder).mkdir(parents=True)
    pixel.save(root / folder / 'a.png')
  ((_, data),) = robustness_sets.load('objectnet', str(tmp_path))
  assert data.size == 113  # Not the folders that ImageNet has no class for.
  for path, label in zip(data.ids, data.labels, strict=True):
    assert data.class_names[label] == path.split('/')[0]
  assert data.source.read(0) == (root / 'alarm_clock' / 'a.png').read_bytes()
  # A classifier that says mountain bike is right about a bicycle.
  logits = np.eye(1000)[[671]]
  scores = imagenet_subsets.restrict(
    logits, imagenet_subsets.subset('objectnet')
  )
  bicycle = data.labels[list(data.ids).index('bicycle/a.png')]
  assert scores.argmax() == bicycle
  shutil.rmtree(root / 'bicycle')
  with pytest.raises(ValueError, match=r"1 of 113 class folders: 'bicycle'\.$"):
    next(robustness_sets.load('objectnet', str(tmp_path)))


def test_a_set_of_other_classes_is_refused(tmp_path):
  prepare(tmp_path, 'cifar10', {'test': [1]})
  (tmp_path / 'cifar10').rename(tmp_path / 'imagenet_r')
  with pytest.raises(ValueError, match=r'^[^\n]+\.$'):
    list(robustness_sets.load('imagenet_r', str(tmp_path)))


def test_an_unknown_set_is_one_sentence(tmp_path):
  for call in (robustness_sets.absent, robustness_sets.load):
    with pytest.raises(ValueError, match=r"'imagenet_d' must be one of "):
      call('imagenet_d', str(tmp_path))
