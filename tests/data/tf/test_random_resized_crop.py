from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from semppl_jax.data.tf import random_resized_crop
from semppl_jax.data.tf.crop_resize import Filter
from semppl_jax.data.tf.runtime import tf
from tests.helpers.slow_resize import slow_resize

RANGES = ((0.14, 1.0), (0.05, 0.14))
ASPECT = (3 / 4, 4 / 3)


def make(
  interpolation='bilinear', counts=(2, 2), sizes=(9, 5), antialias=False
):
  area = (RANGES[0],) * counts[0] + (RANGES[1],) * counts[1]
  kind = Filter(interpolation, antialias)
  return random_resized_crop.CropSettings(
    counts, sizes, area, (ASPECT,) * len(area), kind, 0.5
  )


def numbers(*examples, step=0, seed=0, count=4):
  return random_resized_crop.draw(
    seed, tf.constant(step, tf.int64), tf.stack(examples), count
  )


def boxes_of(drawn, shape, views):
  """Of one image [V, 4]."""
  return random_resized_crop.crop_boxes(drawn, tf.constant([shape]), views)[
    0
  ].numpy()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 2**31 - 1))
def test_boxes_are_inside_and_in_range(height, width, example):
  views = make()
  boxes = boxes_of(numbers(example), (height, width), views)
  top, left, h, w = boxes.T
  assert (h >= 1).all() and (w >= 1).all()
  assert (top >= 0).all() and (left >= 0).all()
  assert (top + h <= height).all() and (left + w <= width).all()
  # Rounding moves either side by half a pixel.
  assert ((w - 0.5) / (h + 0.5) <= ASPECT[1] + 1e-5).all()
  assert ((w + 0.5) / (h - 0.5) >= ASPECT[0] - 1e-5).all()
  if 0.8 < width / height < 1.25 and height * width > 25:
    low, high = np.array(views.area).T * height * width
    assert ((h + 0.5) * (w + 0.5) >= low * (1 - 1e-5)).all()
    assert ((h - 0.5) * (w - 0.5) <= high * (1 + 1e-5)).all()


@pytest.mark.parametrize('shape', [(1, 1), (1, 900), (900, 1), (3, 2)])
def test_boxes_of_extreme_images(shape):
  for example in range(20):
    boxes = boxes_of(numbers(example), shape, make())
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= shape).all()


def test_fallback_is_the_largest_centred_box():
  boxes = boxes_of(numbers(0), (40, 900), make())
  # 40 x 900: every try of a large view is wider than 40 is high.
  np.testing.assert_array_equal(boxes[0], [0, 423, 40, 53])


def test_area_and_aspect_fill_their_ranges():
  views = make(counts=(400, 0), sizes=(4, 4))
  boxes = boxes_of(numbers(1, count=400), (1000, 1000), views)
  _, _, h, w = boxes.T.astype(float)
  area, ratio = h * w / 1e6, w / h
  assert area.min() < 0.2 and area.max() > 0.9
  assert abs(np.log(ratio).mean()) < 0.03
  assert ratio.min() < 0.78 and ratio.max() > 1.28


def test_crops_equal_a_slow_numpy_version():
  rng = np.random.default_rng(0)
  views, shapes = make(), [(31, 23), (12, 40), (31, 23), (9, 9)]
  images = [rng.integers(0, 256, (*x, 3), dtype=np.uint8) for x in shapes]
  masks = [rng.integers(0, 2, (*x, 1), dtype=np.uint8) for x in shapes]
  drawn = numbers(*range(4))
  made = random_resized_crop.random_crops(
    [*map(tf.constant, images)], [*map(tf.constant, masks)], drawn, views
  )
  for example, (image, mask) in enumerate(zip(images, masks, strict=True)):
    boxes = boxes_of(drawn[example : example + 1], image.shape[:2], views)
    flips = drawn[example].numpy()[:, -1] < 0.5
    large, small = made.large[example].numpy(), made.small[example].numpy()
    for view, crop in enumerate([*large, *small]):
      t, l, h, w = boxes[view]  # noqa: E741
      size = crop.shape[0]
      want = slow_resize(image[t : t + h, l : l + w].astype(float), size)
      got = crop[:, ::-1] if flips[view] else crop
      np.testing.assert_allclose(got, want, atol=0.501)
      if view < 2:
        rows = t + np.floor((np.arange(size) + 0.5) * h / size).astype(int)
        cols = l + np.floor((np.arange(size) + 0.5) * w / size).astype(int)
        cut = mask[rows][:, cols, 0]
        np.testing.assert_array_equal(
          made.mask[example, view].numpy(),
          cut[:, ::-1] if flips[view] else cut,
        )


@pytest.mark.parametrize('antialias', [False, True])
@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_one_by_one_equals_a_block(interpolation, antialias):
  views = make(interpolation, antialias=antialias)
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (8, 20, 30, 3), dtype=np.uint8)

  def cut(image, example):
    return random_resized_crop.random_crops(
      [image], (), numbers(example), views
    )[:2]

  whole = random_resized_crop.random_crops(
    tf.unstack(tf.constant(images)), (), numbers(*range(8)), views
  )
  dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(8)))
  for example, one in enumerate(dataset.map(cut).as_numpy_iterator()):
    for a, b in zip(whole[:2], one, strict=True):
      np.testing.assert_array_equal(a[example].numpy(), b[0])


def test_numbers_are_a_function_of_seed_step_and_example():
  base = numbers(5, step=7, seed=1).numpy()
  np.testing.assert_array_equal(base, numbers(5, step=7, seed=1).numpy())
  for example, step, seed in ((6, 7, 1), (5, 8, 1), (5, 7, 2), (7, 5, 1)):
    other = numbers(example, step=step, seed=seed).numpy()
    assert (base != other).mean() > 0.99
  assert base.min() >= 0 and base.max() < 1


def test_center_crops():
  def centre(pixels, *arguments):
    return random_resized_crop.center_crops([tf.constant(pixels)], *arguments)[
      0
    ].numpy()

  image = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)
  whole = centre(image, 4, 4, 'bicubic')
  np.testing.assert_array_equal(whole, image[1:5])
  inner = centre(image, 4, 2, 'bilinear')
  np.testing.assert_array_equal(inner, image[2:4, 1:3])
  for shape in ((1, 1), (1, 500), (300, 1)):
    pixels = np.zeros((*shape, 3), np.uint8)
    assert centre(pixels, 256, 224, 'bicubic').shape == (224, 224, 3)
