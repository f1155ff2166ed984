"""Laws of every detector in the table."""

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from semppl_jax.saliency import detectors
from semppl_jax.saliency.detectors import detect, DETECTORS, NAMES
from semppl_jax.saliency.postprocess import normalize
from tests.helpers.scenes import disc

FOUND = (*DETECTORS, 'mean')


@pytest.mark.parametrize('name', FOUND)
@pytest.mark.parametrize('shape', [(60, 80), (240, 320)])
def test_a_disc_is_found(name, shape):
  scale = shape[0] // 60
  image, inside = disc(*shape, 28 * scale, 36 * scale, 13 * scale)
  saliency = detect(image, [name])[name]
  assert saliency[inside].mean() > 0.8
  assert saliency[~inside].mean() < 0.1
  cut = saliency > 0.5
  assert (cut & inside).sum() > 0.9 * (cut | inside).sum()


@pytest.mark.parametrize('name', FOUND)
def test_a_disc_is_found_where_it_is(name):
  image, inside = disc(y=20, x=55, radius=10)
  cut = detect(image, [name])[name] > 0.5
  assert (cut & inside).sum() > 0.8 * (cut | inside).sum()


@settings(max_examples=30, deadline=None)
@given(
  st.integers(0, 10**6),
  st.integers(1, 40),
  st.integers(1, 40),
  st.sampled_from([1, 8, 255]),
)
def test_every_image_has_maps(seed, height, width, levels):
  rng = np.random.default_rng(seed)
  image = rng.integers(0, levels + 1, (height, width, 3)).astype(np.uint8)
  maps = detect(image)
  assert tuple(maps) == NAMES
  for saliency in maps.values():
    assert saliency.shape == (height, width)
    assert saliency.dtype == np.float32
    assert saliency.min() >= 0 and saliency.max() <= 1  # No NaN is either.


@pytest.mark.parametrize('shape', [(1, 1), (1, 700), (700, 2), (3, 3)])
@pytest.mark.parametrize('value', [0, 90, 255])
def test_nothing_stands_out_of_a_plain_image(shape, value):
  maps = detect(np.full((*shape, 3), value, np.uint8))
  for name in FOUND:
    assert maps[name].shape == shape
    assert not maps[name].any(), name


def test_invisible_noise_does_not_stand_out():
  rng = np.random.default_rng(0)
  image = rng.integers(100, 102, (60, 80, 3)).astype(np.uint8)
  assert not detect(image, ['mean'])['mean'].any()


def test_the_same_image_has_the_same_maps():
  image, _ = disc(seed=3)
  one, other = detect(image), detect(image.copy())
  alone = {name: detect(image, [name])[name] for name in NAMES}
  for name in NAMES:
    np.testing.assert_array_equal(one[name], other[name])
    np.testing.assert_array_equal(one[name], alone[name])


@pytest.mark.parametrize('axis', [0, 1])
def test_a_flipped_image_has_flipped_maps(axis):
  # Nearly: SLIC's grid of seeds and the first scan are not symmetric.
  image, _ = disc(height=90, width=120, y=40, x=70, radius=18)
  ahead, back = detect(image), detect(np.flip(image, axis))
  for name in NAMES:
    apart = np.abs(ahead[name] - np.flip(back[name], axis))
    assert apart.mean() < 0.02, name


def test_the_superpixels_are_computed_once(monkeypatch):
  calls = []
  look = detectors.make_scene
  monkeypatch.setattr(
    detectors, 'make_scene', lambda x: calls.append(x) or look(x)
  )
  image, _ = disc()
  detect(image)
  assert len(calls) == 1
  detect(image, ['centre'])
  assert len(calls) == 1, 'the floor needs none'


def test_the_mean_is_of_all_that_are_scaled_alike(monkeypatch):
  image, _ = disc()
  down = lambda scene: 100 + 7 * scene.superpixels.place[:, 0]
  right = lambda scene: scene.superpixels.place[:, 1] / 9
  table = {'boundary': down, 'barrier': right}
  monkeypatch.setattr(detectors, 'DETECTORS', table)
  mean = detect(image, ['mean'])['mean']
  both = lambda scene: normalize(down(scene)) + normalize(right(scene))
  monkeypatch.setattr(detectors, 'DETECTORS', {'boundary': both})
  want = detect(image, ['boundary'])['boundary']
  np.testing.assert_allclose(mean, want, atol=1e-5)
  assert mean[-1, -1] > mean[0, -1] > mean[0, 0]


def test_maps_are_drawn_apart(monkeypatch):
  right = lambda scene: scene.superpixels.place[:, 1]
  monkeypatch.setattr(detectors, 'DETECTORS', {'boundary': right})
  image, _ = disc()
  ramp = detect(image, ['boundary'])['boundary']
  # Of a plain ramp this would be a half.
  assert np.mean((ramp > 0.25) & (ramp < 0.75)) < 0.3


def test_the_floor_is_a_blob_at_the_centre():
  blob = detect(np.zeros((5, 7, 3), np.uint8), ['centre'])['centre']
  assert blob[2, 3] == 1 == blob.max()
  np.testing.assert_allclose(blob, blob[::-1, ::-1])
  np.testing.assert_allclose(
    blob[2, 0], np.exp(-((3 / 7) ** 2) / (2 * 0.25**2)), rtol=1e-6
  )


def test_an_unknown_detector_is_one_sentence():
  message = r"^Saliency detector 'eyes' must be one of boundary, .*centre\.$"
  with pytest.raises(ValueError, match=message):
    detect(np.zeros((4, 4, 3), np.uint8), ['mean', 'eyes'])


def test_the_floor_wants_an_image_as_well():
  with pytest.raises(ValueError, match='uint8'):
    detect(np.zeros((4, 4, 3)), ['centre'])
