"""Batches of images decoded smaller: with masks, support and canvases."""

import numpy as np
import pytest

from semppl_jax.data import masks
from semppl_jax.data.tf import random_resized_crop, views as views_lib
from semppl_jax.data.tf.runtime import tf
from tests.helpers.image_sets import smooth, write_folder
from tests.helpers.mask_files import blob, png, write_store
from tests.helpers.train_steps import assert_same, joined, steps

SIZE = (160, 200)


@pytest.fixture
def images(config, tmp_path):
  """The config of 48 photographs much larger than their views."""
  one = lambda number, size: smooth(number % 5, SIZE)
  config.data.kind = 'folder'
  config.data.path = write_folder(tmp_path / 'images', 48, image=one)
  config.views.antialias = True
  return config


def both(config, count, **kind):
  """Batches of images decoded smaller, and of whole ones."""
  config.data.scaled_decoding = True
  scaled = steps(config, count, **kind)
  config.data.scaled_decoding = False
  return zip(scaled, steps(config, count, **kind), strict=True)


def assert_close(got, want):
  """Boxes are of whole pixels, so those of smaller images differ by a part."""
  difference = np.abs(got.astype(int) - want.astype(int))
  assert 0 < difference.mean() < 8


def test_masks_are_cut_with_them(images, tmp_path):
  ids = masks.load(images).train.ids.tolist()
  own = [png(blob(number, SIZE)) for number in range(len(ids))]
  images.data.saliency = write_store(tmp_path / 'masks', ids, own)
  images.saliency.probability = 0.5
  for scaled, whole in both(images, 2):
    assert scaled.unmasked == 0
    assert_close(scaled.batch.large, whole.batch.large)
    # The edge of a mask may move by a pixel of the smaller image.
    assert (scaled.batch.mask == whole.batch.mask).mean() > 0.95
    assert 0.05 < scaled.batch.mask.mean() < 0.95


def test_a_support_batch_is_cut_by_its_slots(images):
  images.support = dict(classes_per_batch=2, images_per_class=4, views=2)
  for scaled, whole in both(images, 2, support=True):
    got, want = scaled.batch.support, whole.batch.support
    np.testing.assert_array_equal(got.index, want.index)
    assert_close(got.large, want.large)


def test_images_are_decoded_for_the_boxes_that_are_cut(images):
  """A support batch draws other numbers; no box has too few pixels."""
  images.support = dict(classes_per_batch=2, images_per_class=4, views=1)
  sizes, slots = tf.tile([[160, 200]], [8, 1]), tf.range(8)
  step = tf.constant(2, tf.int64)
  views = random_resized_crop.crop_settings(images.views)
  for first, count, maker in (
    (0, 3, views_lib.batch_views(images)),
    (2**31, 1, views_lib.support_views(images)),
  ):
    numbers = random_resized_crop.draw(
      images.seed, step, tf.cast(slots, tf.int64) + first, count
    )
    boxes = random_resized_crop.crop_boxes(
      numbers, sizes,
      views._replace(
        counts=(2, 1) if count == 3 else (1, 0),
        area=views.area[:count], aspect=views.aspect[:count],
      ),
    ).numpy()[..., 2:]  # fmt: skip
    least = np.min(boxes / np.array([8, 8, 4])[:count, None], axis=(1, 2))
    np.testing.assert_allclose(maker.shrink_limit(sizes, slots, step), least)


@pytest.mark.slow
def test_canvases_show_the_same(images):
  images.views.antialias = False
  images.data.update(crops='device', canvas=(24, 30))
  images.support = dict(classes_per_batch=2, images_per_class=4, views=1)
  for scaled, whole in both(images, 2, support=True):
    for got, want in (
      (scaled.batch, whole.batch),
      (scaled.batch.support, whole.batch.support),
    ):
      np.testing.assert_array_equal(got.index, want.index)
      np.testing.assert_array_equal(got.canvas.extent, want.canvas.extent)
      np.testing.assert_array_equal(
        got.canvas.transposed, want.canvas.transposed
      )
      assert_close(got.canvas.image, want.canvas.image)


@pytest.mark.slow
def test_start_and_process_count_change_nothing(images):
  images.data.scaled_decoding = True
  images.support = dict(classes_per_batch=2, images_per_class=4, views=1)
  whole = steps(images, 2, support=True)
  parts = [steps(images, 1, 1, (p, 2), support=True) for p in range(2)]
  assert_same(whole[1:], joined(parts))
