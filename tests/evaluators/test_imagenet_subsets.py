"""The maps against the published lists, and what is done with them."""

import hashlib
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from semppl_jax.evaluators import imagenet_subsets

WNIDS = (
  pathlib.Path(tfds.__file__)
  .with_name('datasets')
  .joinpath('imagenet2012', 'labels.txt')
  .read_text()
  .split()
)
# SHA-256 over the sorted WordNet ids of the authors' lists, one a line; for
# ObjectNet over each folder and its sorted ids, in the order of the folders.
PUBLISHED = {
  'imagenet_r': (
    200,
    'e19a59d84e3746fafd34d2ccf6ae604a44e9a0500a596f343c878a89e30ce624',
  ),
  'imagenet_a': (
    200,
    'f6aa4b23244554d9b864fd715ae20048f6a9686388911b2dfbf1ada01bf0f520',
  ),
  'objectnet': (
    113,
    'f2730fffbcf6e285ba75212d492be339a2673c2978db02d8064795ab7cb7a707',
  ),
}


def _groups(name):
  subset = imagenet_subsets.subset(name)
  return [
    [WNIDS[c] for c in g] for g in np.split(subset.columns, subset.starts)[1:]
  ]


@pytest.mark.parametrize('name', PUBLISHED)
def test_maps_are_the_published_ones(name):
  count, digest = PUBLISHED[name]
  groups = _groups(name)
  assert len(groups) == count
  if name == 'objectnet':
    lines = [
      ' '.join([folder, *sorted(group)])
      for folder, group in zip(imagenet_subsets.OBJECTNET, groups, strict=True)
    ]
    assert list(imagenet_subsets.OBJECTNET) == sorted(
      imagenet_subsets.OBJECTNET
    )
  else:
    lines = [wnid for (wnid,) in groups]
  assert hashlib.sha256('\n'.join(lines).encode()).hexdigest() == digest


def test_objectnet_maps_no_class_twice():
  columns = imagenet_subsets.subset('objectnet').columns
  assert len(columns) == len(set(columns.tolist())) == 125


def test_classes_that_one_can_name():
  folders = dict(
    zip(imagenet_subsets.OBJECTNET, _groups('objectnet'), strict=True)
  )
  assert folders['banana'] == ['n07753592']
  assert folders['chair'] == ['n02791124', 'n03376595', 'n04099969']
  assert ['n01443537'] in _groups('imagenet_r')  # Goldfish.
  assert ['n01443537'] not in _groups('imagenet_a')


@pytest.mark.parametrize('name', imagenet_subsets.NAMES)
def test_restriction_and_new_labels_are_those_of_plain_loops(name):
  rng = np.random.default_rng(3)
  logits = rng.normal(size=(3, 1000)).astype(np.float32)
  subset = imagenet_subsets.subset(name)
  groups = np.split(subset.columns, subset.starts)[1:]
  slow = np.array([[max(row[c] for c in g) for g in groups] for row in logits])
  np.testing.assert_array_equal(imagenet_subsets.restrict(logits, subset), slow)
  labels = np.arange(-1, 1000)
  number = {int(c): n for n, group in enumerate(groups) for c in group}
  want = [number.get(c, -1) for c in labels.tolist()]
  got = imagenet_subsets.relabel(labels, subset)
  assert got.dtype == np.int32
  np.testing.assert_array_equal(got, want)


def test_the_rest_is_the_best_of_all_other_classes():
  logits = np.zeros((2, 1000))
  banana, goldfish = 954, 1
  logits[0, banana], logits[0, goldfish] = 2, 3
  logits[1, banana], logits[1, goldfish] = 3, 2
  subset = imagenet_subsets.subset('objectnet')
  names = list(imagenet_subsets.OBJECTNET)
  assert (
    imagenet_subsets.restrict(logits, subset).argmax(1).tolist()
    == [names.index('banana')] * 2
  )
  open_ = imagenet_subsets.restrict(logits, subset, rest=True)
  assert open_.shape == (2, 113 + 1000 - 125)
  best = open_.argmax(1).tolist()
  assert best[0] >= 113 and best[1] == names.index('banana')


@pytest.mark.parametrize(
  'call',
  [
    lambda: imagenet_subsets.subset('imagenet_d'),
    lambda: imagenet_subsets.restrict(
      np.zeros((2, 1000)), imagenet_subsets.subset('imagenet'), rest=True
    ),
    lambda: imagenet_subsets.relabel(
      np.array([1000]), imagenet_subsets.subset('imagenet')
    ),
    lambda: imagenet_subsets.relabel(
      np.array([-2]), imagenet_subsets.subset('imagenet')
    ),
  ],
)
def test_bad_input_is_one_sentence(call):
  with pytest.raises(ValueError, match=r'^[^\n]+\.$'):
    call()
