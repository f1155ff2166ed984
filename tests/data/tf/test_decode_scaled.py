"""JPEGs decoded smaller: only where no view needs more, and the same views."""

import numpy as np
import pytest

from semppl_jax.data.tf import decode, random_resized_crop, views
from semppl_jax.data.tf.crop_resize import Filter
from semppl_jax.data.tf.runtime import tf
from tests.helpers.image_sets import smooth


def picture(height, width, kind='JPEG'):
  return tf.constant(smooth(0, (height, width), kind=kind))


def spare_of(values):
  return lambda sizes: tf.constant(values, tf.float32)


@pytest.mark.parametrize('spare', [0.3, 1, 1.99, 2, 3.9, 4, 7.9, 8, 100])
def test_the_ratio_is_the_largest_that_leaves_enough(spare):
  got = decode.largest_ratio(tf.constant(spare, tf.float32)).numpy()
  assert got == max([1, *(r for r in decode.RATIOS if r <= spare)])


@pytest.mark.parametrize('ratio', decode.RATIOS)
def test_a_jpeg_is_decoded_at_its_ratio(ratio):
  content = picture(83, 120)
  [image], sizes = decode.decode_all([content], spare_of([ratio]))
  assert image.shape == (-(-83 // ratio), -(-120 // ratio), 3)
  np.testing.assert_array_equal(sizes, [(83, 120)])
  # Of whole blocks of 8 pixels, which are not padded.
  content = picture(80, 120)
  [image], _ = decode.decode_all([content], spare_of([ratio]))
  whole = tf.io.decode_jpeg(content, channels=3)
  small = tf.image.resize(whole, image.shape[:2], antialias=True)
  assert np.abs(small - tf.cast(image, tf.float32)).mean() < 3


def test_other_formats_are_decoded_whole():
  contents = [picture(40, 60, 'PNG'), picture(40, 60)]
  images, sizes = decode.decode_all(contents, spare_of([8, 4]))
  assert [x.shape for x in images] == [(40, 60, 3), (10, 15, 3)]
  np.testing.assert_array_equal(sizes, [(40, 60)] * 2)


def test_a_broken_header_is_an_error():
  broken = tf.constant(picture(40, 60).numpy()[:12])
  with pytest.raises(tf.errors.OpError):
    decode.decode_all([broken], spare_of([1]))


def test_views_of_a_smaller_image_are_those_of_the_whole_one():
  views = random_resized_crop.CropSettings(
    (2, 2), (24, 12), ((0.2, 1.0),) * 2 + ((0.05, 0.2),) * 2,
    ((3 / 4, 4 / 3),) * 4, Filter('bilinear', True), 0.5,
  )  # fmt: skip
  contents = [picture(400, 300), picture(333, 500), picture(30, 40)]
  numbers = random_resized_crop.draw(
    0, tf.constant(3, tf.int64), tf.range(3), 4
  )

  def spare(sizes):
    return random_resized_crop.shrink_limit(
      random_resized_crop.crop_boxes(numbers, sizes, views), views
    )

  images, sizes = decode.decode_all(contents, spare)
  assert images[0].shape[0] < 400 and images[1].shape[0] < 333
  assert images[2].shape[0] == 30
  got = random_resized_crop.random_crops(images, (), numbers, views, sizes)
  whole = [tf.io.decode_jpeg(x, channels=3) for x in contents]
  want = random_resized_crop.random_crops(whole, (), numbers, views)
  for a, b in zip(got[:2], want[:2], strict=True):
    difference = np.abs(a.numpy().astype(int) - b.numpy().astype(int))
    assert difference.mean() < 3
  # No box has fewer pixels than its view.
  boxes = random_resized_crop.crop_boxes(numbers, sizes, views)
  own = tf.stack([tf.shape(x)[:2] for x in images])
  small = random_resized_crop.shrink_boxes(boxes, sizes, own).numpy()
  assert (small[:2, :2, 2:] >= 24).all() and (small[:2, 2:, 2:] >= 12).all()
  ends = small[:, :, :2] + small[:, :, 2:]
  assert (small >= 0).all() and (ends <= own.numpy()[:, None]).all()


@pytest.mark.parametrize('shape', [(800, 1200), (1200, 800), (90, 300)])
def test_a_canvas_still_gets_as_many_pixels_as_it_holds(shape):
  size = (96, 128)
  spare = views.canvas_shrink_limit(tf.constant([shape]), size)
  [image], _ = decode.decode_all([picture(*shape)], lambda sizes: spare)
  whole = tf.io.decode_jpeg(picture(*shape), channels=3)
  got, want = (views.place_on_canvas(x, None, size) for x in (image, whole))
  assert np.abs(got.extent - want.extent).max() <= 1
  if max(shape) > 500:
    assert image.shape[0] < shape[0]
  h, w = np.minimum(got.extent, want.extent)
  a, b = (x.image.numpy()[:h, :w].astype(int) for x in (got, want))
  assert np.abs(a - b).mean() < 3
