"""Corruptions of a few embedded images."""

import io

import ml_collections
import numpy as np
from PIL import Image
import pytest

from semppl_jax.data import dataset, pipeline
from semppl_jax.evaluators import corruptions, metrics

DRAWN = ('gaussian_noise', 'shot_noise', 'impulse_noise', 'elastic_transform')


@pytest.fixture(scope='module')
def images(tmp_path_factory):
  """Twelve images of the embedded test set, [12, 32, 32, 3]."""
  cache = str(tmp_path_factory.mktemp('cache'))
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('SEMPPL_JAX_CACHE', cache)
    data = ml_collections.ConfigDict(
      dict(
        kind='embedded', test_holdout=0, limit=0, threads=2, backend='tfdata'
      )
    )
    test = dataset.load(data).test
  config = ml_collections.ConfigDict(
    dict(
      data=data,
      eval=dict(resize=32, crop=32),
      views=dict(interpolation='bilinear'),
    )
  )
  (batch,) = pipeline.eval_batches(config, test, np.arange(12), 12)
  return batch.image


def apply(name, images, severity=3, seed=0):
  return corruptions.apply(name, images, severity, seed, np.arange(len(images)))


def test_names_are_those_of_imagenet_c():
  assert len(corruptions.NAMES) == 10
  assert set(corruptions.NAMES) < set(metrics.ALEXNET_ERROR)


@pytest.mark.parametrize('name', corruptions.NAMES)
def test_severity_tells_in_the_distance(images, name):
  before = images.copy()
  found = [apply(name, images, severity) for severity in range(1, 6)]
  np.testing.assert_array_equal(images, before)
  assert all(x.shape == images.shape and x.dtype == np.uint8 for x in found)
  distance = [np.abs(x.astype(int) - images).mean() for x in found]
  assert distance[0] > 0.5
  if name != 'elastic_transform':  # Trades a shear for bends.
    assert (np.diff(distance) > 0).all()


@pytest.mark.parametrize('name', corruptions.NAMES)
def test_an_image_is_corrupted_alike_wherever_it_stands(images, name):
  whole = apply(name, images)
  np.testing.assert_array_equal(whole, apply(name, images))
  rows = np.array([7, 2, 5])
  some = corruptions.apply(name, images[rows], 3, 0, rows)
  np.testing.assert_array_equal(some, whole[rows])
  other_seed = apply(name, images, seed=1)
  other_place = corruptions.apply(name, images, 3, 0, np.arange(12) + 1)
  for other in (other_seed, other_place):
    assert (other != whole).any() == (name in DRAWN)


def test_noise_is_not_shared(images):
  same = np.repeat(images[:1], 3, axis=0)
  for name in DRAWN:
    a, b, _ = apply(name, same)
    assert (a != b).any()
  grey = np.full((1, 32, 32, 3), 128, np.uint8)
  draws = [
    corruptions.apply('gaussian_noise', grey, s, 0, np.array([4])) - 128.0
    for s in (1, 2)
  ]
  signs = [np.sign(x) for x in draws]
  assert (signs[0] != signs[1]).mean() > 0.3


def test_noise_has_the_published_strength():
  grey = np.full((20, 32, 32, 3), 128, np.uint8)
  gauss = apply('gaussian_noise', grey, 5) / 255.0
  assert gauss.std() == pytest.approx(0.10, rel=0.02)
  shot = apply('shot_noise', grey, 5) / 255.0
  assert shot.std() == pytest.approx(np.sqrt(128 / 255 / 50), rel=0.02)
  impulse = apply('impulse_noise', grey, 5)
  assert np.mean(impulse != 128) == pytest.approx(0.07, rel=0.05)
  assert np.mean(impulse == 255) == pytest.approx(0.035, rel=0.08)
  assert set(np.unique(impulse)) == {0, 128, 255}


def test_contrast_and_brightness_by_hand():
  image = np.zeros((1, 32, 32, 3), np.uint8)
  image[:, :16] = 100, 200, 50
  # Means are 50, 100 and 25; a tenth and a half of the way back to 0.15.
  got = apply('contrast', image, 5)
  assert got[0, 0, 0].tolist() == [57, 115, 28]
  assert got[0, 31, 0].tolist() == [42, 85, 21]
  # The value 200 becomes 200 + 0.1 * 255 and the others keep their ratio.
  got = apply('brightness', image, 2)
  assert got[0, 0, 0].tolist() == [112, 225, 56]
  assert got[0, 31, 0].tolist() == [25, 25, 25]


def test_a_blur_spreads_a_point_and_keeps_its_light():
  point = np.zeros((1, 32, 32, 3), np.uint8)
  point[0, 16, 16] = 255
  blurred = apply('defocus_blur', point, 4)[0, ..., 0].astype(float)
  # A disk of radius 1 has five pixels; the softness is next to none.
  assert np.argwhere(blurred > 25).tolist() == [
    [15, 16], [16, 15], [16, 16], [16, 17], [17, 16],
  ]  # fmt: skip
  assert blurred.sum() == pytest.approx(255, abs=10)
  flat = np.full((1, 32, 32, 3), 77, np.uint8)
  for name in ('defocus_blur', 'zoom_blur', 'elastic_transform', 'pixelate'):
    np.testing.assert_array_equal(apply(name, flat, 5), flat)


def test_a_zoom_grows_what_lies_outside_the_middle():
  half = np.zeros((1, 32, 32, 3), np.uint8)
  half[:, :4] = 255
  blurred = apply('zoom_blur', half, 5)[0, :, 16, 0].astype(int)
  assert (np.diff(blurred) <= 0).all()
  assert 0 < blurred[3] < 255
  assert not blurred[5:].any()


def test_the_shear_takes_three_points_where_they_were_drawn():
  rows, columns = np.indices((32, 32))
  ramp = np.stack([rows * 7, columns * 7, rows * 0], axis=2).astype(np.uint8)
  got = apply('elastic_transform', ramp[None], 1)[0].astype(float) / 7
  # In the middle, where nothing is mirrored, each pixel says where it was.
  middle = np.s_[10:22, 10:22]
  there = np.stack([rows[middle], columns[middle], 1 + 0 * rows[middle]])
  back = np.linalg.lstsq(
    there.reshape(3, -1).T, got[middle][..., :2].reshape(-1, 2)
  )[0]
  rng = np.random.default_rng([0, 1, 0, *b'elastic_transform'])
  start = np.array([[26, 26], [26, 6], [6, 6]])
  end = start + rng.uniform(-2.56, 2.56, (3, 2))
  # Pixels are cut to whole ones, by 1 / 14 of a place on average.
  np.testing.assert_allclose(np.c_[end, np.ones(3)] @ back, start, atol=0.2)


def test_files_and_sizes_are_those_of_pillow(images):
  got = apply('jpeg_compression', images, 5)
  stream = io.BytesIO()
  Image.fromarray(images[3]).save(stream, 'JPEG', quality=40)
  np.testing.assert_array_equal(got[3], np.asarray(Image.open(stream)))
  got = apply('pixelate', images, 4)
  small = Image.fromarray(images[3]).resize((24, 24), Image.Resampling.BOX)
  want = small.resize((32, 32), Image.Resampling.BOX)
  np.testing.assert_array_equal(got[3], np.asarray(want))


@pytest.mark.parametrize('name', corruptions.NAMES)
def test_images_need_not_be_square(images, name):
  wide = np.concatenate([images, images[:, ::-1, :9]], axis=2)
  assert apply(name, wide, 5).shape == (12, 32, 41, 3)


@pytest.mark.parametrize(
  'call',
  [
    lambda x: apply('frost', x),
    lambda x: apply('contrast', x, 0),
    lambda x: apply('contrast', x, 6),
    lambda x: corruptions.apply('contrast', x, 1, 0, np.arange(12) - 1),
  ],
)
def test_bad_input_is_one_sentence(images, call):
  with pytest.raises(ValueError, match=r'^[^\n]+\.$'):
    call(images)
