from hypothesis import given, settings, strategies as st
import numpy as np

from semppl_jax.data.support_set import Draw


def class_images(sizes, seed=0):
  images = np.random.default_rng(seed).permutation(200)[: sum(sizes)]
  return np.split(images, np.cumsum(sizes)[:-1])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_draw_is_balanced_and_a_function_of_the_step(data):
  sizes = data.draw(st.lists(st.integers(1, 15), min_size=1, max_size=9))
  classes = data.draw(st.integers(1, len(sizes)))
  each = data.draw(st.integers(1, 24))
  seed, step = (data.draw(st.integers(0, 2**31 - 1)) for _ in range(2))
  images = class_images(sizes)
  draw = Draw(images, classes, each, seed)
  drawn = draw.at(step)
  assert drawn.dtype == np.int32 and drawn.shape == (classes * each,)
  of = {int(i): c for c, own in enumerate(images) for i in own}
  shown = []
  for row in drawn.reshape(classes, each):
    (number,) = {of[int(i)] for i in row}
    shown.append(number)
    _, counts = np.unique(row, return_counts=True)
    assert len(counts) == min(each, sizes[number])
    assert counts.max() - counts.min() <= 1
  assert len(set(shown)) == classes
  np.testing.assert_array_equal(
    draw.columns(np.arange(classes * each)), np.repeat(range(classes), each)
  )
  # Whatever was asked before, of this draw or of another.
  other = Draw(images, classes, each, seed)
  other.at(step + 1)
  np.testing.assert_array_equal(other.at(step), drawn)


def test_draws_differ_between_steps_and_seeds():
  images = class_images([20] * 5)
  drawn = {
    tuple(Draw(images, 3, 4, seed).at(step).tolist())
    for seed in range(20)
    for step in range(20)
  }
  assert len(drawn) == 400


def test_classes_and_images_come_up_equally_often():
  sizes = (6, 6, 12, 12, 12, 12)
  images = class_images(sizes)
  draw = Draw(images, 3, 4, 0)
  drawn = np.concatenate([draw.at(step) for step in range(2000)])
  shown = np.bincount(drawn, minlength=200)
  for size, own in zip(sizes, images, strict=True):
    # In half of the steps, four of its images: 4000 rows, give or take 5 %.
    np.testing.assert_allclose(shown[own].sum(), 4000, rtol=0.05)
    np.testing.assert_allclose(shown[own], 4000 / size, rtol=0.2)
