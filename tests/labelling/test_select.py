"""Images to label: one of each group."""

from hypothesis import given, settings, strategies as st
import numpy as np

from semppl_jax.labelling import select


def test_one_image_of_each_group_the_largest_first():
  rng = np.random.default_rng(0)
  sizes = (30, 10, 20)
  group = np.repeat(np.arange(3), sizes)
  features = np.eye(3, 8)[group] * 5 + rng.normal(size=(60, 8), scale=0.1)
  assert group[select.choose(features, 3)].tolist() == [0, 2, 1]


def test_the_image_nearest_to_its_center_is_chosen():
  rng = np.random.default_rng(0)
  features = np.eye(2, 4)[np.repeat([0, 1], 9)] * 3 + rng.normal(
    size=(18, 4), scale=0.2
  )
  unit = features / np.linalg.norm(features, axis=1, keepdims=True)
  for row in select.choose(features, 2):
    own = unit[:9] if row < 9 else unit[9:]
    center = own.mean(axis=0) / np.linalg.norm(own.mean(axis=0))
    assert unit[row] @ center == np.max(own @ center)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 5))
def test_rows_are_distinct_even_of_equal_images(count, different, seed):
  rng = np.random.default_rng(seed)
  features = rng.normal(size=(different, 3))[rng.integers(0, different, 12)]
  rows = select.choose(features, count, seed)
  assert len({*rows.tolist()}) == count
  assert rows.min() >= 0 and rows.max() < 12
