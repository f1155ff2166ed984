"""Draws, order, masks, blur and sharding of the photometric operations."""

import functools
import itertools

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from PIL import Image, ImageFilter
import pytest

from configs import base, cifar10_4000, quickstart
from semppl_jax.data.device import augment as augment_lib, color_ops
from semppl_jax.runtime import mesh as mesh_lib

NOTHING = dict(
  jitter=0.0,
  brightness=0.0,
  contrast=0.0,
  saturation=0.0,
  hue=0.0,
  grayscale=0.0,
  blur=(0.0, 0.0),
  blur_sigma=(0.1, 2.0),
  solarize=(0.0, 0.0),
  equalize=0.0,
  mean=(0.0, 0.0, 0.0),
  std=(1.0, 1.0, 1.0),
)
ALL = NOTHING | dict(
  jitter=0.8,
  brightness=0.4,
  contrast=0.4,
  saturation=0.2,
  hue=0.1,
  grayscale=0.2,
  blur=(1.0, 0.1),
  solarize=(0.0, 0.2),
  equalize=0.2,
)


def _make(saliency=None, **settings):
  """An augment with nothing on but `settings`, and no normalisation."""
  return augment_lib.make_augment(
    ml_collections.ConfigDict(NOTHING | settings),
    ml_collections.ConfigDict(saliency or dict(probability=0.0, fill='grey')),
  )


def _views(shape=(4, 3, 12, 14, 3), seed=0):
  return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _repeated(count, views=2, size=6):
  """The same image in every view: what differs is the draw."""
  image = _views((1, 1, size, size, 3))
  return np.broadcast_to(image, (count, views, size, size, 3))


def test_nothing_on_is_division():
  views = _views()
  got = _make()(views, jax.random.key(0))
  np.testing.assert_allclose(got, views / 255, rtol=1e-6)


def test_no_views_give_no_views():
  got = _make(**ALL)(np.zeros((4, 0, 8, 8, 3), np.uint8), jax.random.key(0))
  assert got.shape == (4, 0, 8, 8, 3) and got.dtype == jnp.float32


@pytest.mark.parametrize('views', [_views((4, 3)), _views().astype(np.float32)])
def test_other_ranks_and_types_are_refused(views):
  with pytest.raises(AssertionError):
    _make()(views, jax.random.key(0))


def test_normalize_is_that_of_the_step():
  c = base.get_config()
  settings = NOTHING | dict(mean=c.augment.mean, std=c.augment.std)
  views = _views()
  np.testing.assert_allclose(
    augment_lib.normalize(views, c.augment.mean, c.augment.std),
    _make(**settings)(views, jax.random.key(0)),
    atol=1e-5,
  )


@pytest.mark.parametrize('config', [base, cifar10_4000, quickstart])
def test_jit_is_no_jit_and_values_stay_in_range(config):
  c = config.get_config()
  augment = augment_lib.make_augment(c.augment, c.saliency)
  views, key = _views((3, 2, 40, 40, 3)), jax.random.key(3)
  mask = (_views((3, 2, 40, 40)) > 100).astype(np.uint8)
  got = jax.jit(augment)(views, key, mask)
  np.testing.assert_allclose(got, augment(views, key, mask), atol=2e-4)
  restored = np.asarray(got) * c.augment.std + c.augment.mean
  assert restored.min() > -1e-5 and restored.max() < 1 + 1e-5


@pytest.mark.parametrize('level', [0, 1, 127, 128, 254, 255])
def test_constant_images_stay_finite(level):
  views = np.full((8, 2, 20, 20, 3), level, np.uint8)
  got = jax.jit(_make(**ALL))(views, jax.random.key(0))
  assert np.isfinite(got).all()
  # No operation can tell the pixels of a constant image apart.
  assert np.ptp(got, axis=(2, 3)).max() < 1e-5


def test_same_key_same_views_other_key_other_views():
  augment = jax.jit(_make(**ALL))
  views = _repeated(4)
  one, again, other = (
    np.asarray(augment(views, jax.random.key(seed))) for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(one, again)
  assert not np.allclose(one, other)


def test_every_view_draws_for_itself():
  augment = _make(jitter=1.0, brightness=0.9)
  got = np.asarray(augment(_repeated(6, views=4), jax.random.key(0)))
  factors = got.reshape(24, -1).sum(axis=1)
  assert len(np.unique(np.round(factors, 3))) == 24


@pytest.mark.parametrize(
  'settings',
  [
    dict(jitter=0.3, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    dict(grayscale=0.3),
    dict(equalize=0.3),
  ],
)
def test_probabilities_are_met(settings):
  # Pillow's equalisation leaves images of fewer than 255 pixels alone.
  views = _repeated(2000, size=18)
  got = np.asarray(jax.jit(_make(**settings))(views, jax.random.key(0)))
  unchanged = (np.abs(got - views / 255) < 1e-6).all(axis=(2, 3, 4))
  # Four standard deviations of 4,000 draws.
  assert abs((1 - unchanged.mean()) - 0.3) < 0.03


@pytest.mark.parametrize('name', ['blur', 'solarize'])
@pytest.mark.parametrize('pair', [(1.0, 0.0), (0.0, 1.0), (0.7, 0.2)])
def test_pairs_alternate_over_the_views(name, pair):
  views = _repeated(1000, views=4, size=20)
  augment = _make(**{name: pair, 'blur_sigma': (1.0, 2.0)})
  got = np.asarray(jax.jit(augment)(views, jax.random.key(0)))
  changed = np.abs(got - views / 255).max(axis=(2, 3, 4)) > 1e-3
  share = changed.mean(axis=0)
  np.testing.assert_allclose(share, pair + pair, atol=0.06)
  assert all((share == 0) == (np.asarray(pair + pair) == 0))


def test_an_operation_of_probability_zero_is_not_built():
  views, key = _views(), jax.random.key(0)
  count = lambda **s: len(jax.make_jaxpr(_make(**s))(views, key).eqns)
  nothing = count()
  # Strengths without probability, and probability without strengths.
  assert count(brightness=0.4, contrast=0.4, hue=0.1) == nothing
  assert count(jitter=0.8) == nothing
  for setting in (
    dict(jitter=0.8, hue=0.1),
    dict(grayscale=0.2),
    dict(blur=(0.0, 0.1)),
    dict(solarize=(0.0, 0.2)),
    dict(equalize=0.2),
  ):
    assert count(**setting) > nothing


def test_one_operation_does_not_change_the_draws_of_another():
  views, key = _repeated(64), jax.random.key(0)
  gray = _make(grayscale=0.5)(views, key)
  both = _make(grayscale=0.5, solarize=(1.0, 1.0))(views, key)
  gray = np.asarray(gray)
  expected = np.where(gray < 0.5, gray, 1 - gray)
  np.testing.assert_allclose(both, expected, atol=1e-6)


def _jitter_in_order(image, order, strengths):
  operations = dict(
    b=color_ops.brightness,
    c=color_ops.contrast,
    s=color_ops.saturation,
    h=color_ops.hue,
  )
  planes = color_ops.to_planes(jnp.asarray(image)[None])
  for name in order:
    planes = operations[name](planes, jnp.asarray(strengths[name])[None])
  return np.stack([np.asarray(plane[0]) for plane in planes], axis=-1)


def test_jitter_applies_each_operation_once_in_every_order(monkeypatch):
  """Strengths are fixed; each image must equal one of the 24 orders."""
  strengths = dict(b=1.35, c=0.6, s=1.8, h=0.09)
  uniform = jax.random.uniform
  fixed = iter([strengths[name] for name in 'bcsh'])

  def drawn(key, shape=(), **kwargs):
    if 'minval' in kwargs:
      return jnp.full(shape, next(fixed), jnp.float32)
    return uniform(key, shape, **kwargs)

  monkeypatch.setattr(jax.random, 'uniform', drawn)
  count = 240
  views = _repeated(count, views=1, size=6)
  augment = _make(
    jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.9, hue=0.1
  )
  got = np.asarray(augment(views, jax.random.key(0)))[:, 0]
  orders = list(itertools.permutations('bcsh'))
  expected = np.stack(
    [_jitter_in_order(views[0, 0], order, strengths) for order in orders]
  )
  error = np.abs(got[:, None] - expected[None]).max(axis=(2, 3, 4))
  np.testing.assert_array_less(error.min(axis=1), 1e-5)
  # The orders can be told apart, and all of them occur.
  apart = np.abs(expected[:, None] - expected[None]).max(axis=(2, 3, 4))
  assert apart[~np.eye(24, dtype=bool)].min() > 1e-4
  assert len(np.unique(error.argmin(axis=1))) == 24


@pytest.mark.parametrize(
  'name, low, high',
  [
    ('brightness', 0.6, 1.4),
    ('saturation', 0.6, 1.4),
    ('contrast', 0.6, 1.4),
  ],
)
def test_factors_fill_their_range(name, low, high):
  image = np.full((4000, 1, 1, 2, 3), 60, np.uint8)
  image[..., 0, 0] = 120
  augment = _make(jitter=1.0, **{name: 0.4})
  got = np.asarray(jax.jit(augment)(image, jax.random.key(0)))
  red, other = got[:, 0, 0, 0, 0], got[:, 0, 0, 1, 0]
  factor = red / (120 / 255)
  if name == 'contrast':
    factor = (red - other) / (60 / 255)
  if name == 'saturation':
    factor = (red - got[:, 0, 0, 0, 1]) / (60 / 255)
  assert low - 1e-5 <= factor.min() < low + 0.01
  assert high - 0.01 < factor.max() <= high + 1e-5
  assert abs(factor.mean() - 1) < 0.02


@pytest.mark.parametrize(
  'size, kernel', [(224, 23), (96, 9), (128, 13), (32, 3), (40, 5), (18, 1)]
)
def test_the_kernel_is_a_tenth_of_the_image(size, kernel):
  assert 2 * augment_lib.blur_radius(size) + 1 == kernel


@pytest.mark.parametrize('shape', [(40, 40), (44, 60)])
def test_blur_is_a_reflecting_gaussian(shape):
  views = _views((2, 2, *shape, 3))
  augment = _make(blur=(1.0, 1.0), blur_sigma=(1.3, 1.3))
  got = np.asarray(augment(views, jax.random.key(0)))

  expected = views / 255
  for axis, size in zip((2, 3), shape, strict=True):
    radius = size // 20
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * 1.3**2))
    taps /= taps.sum()
    pad = [(0, 0)] * 5
    pad[axis] = (radius, radius)
    padded = np.pad(expected, pad, mode='reflect')
    blur = functools.partial(np.convolve, taps, mode='valid')
    expected = np.apply_along_axis(blur, axis, padded)
  np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_wide_blur_is_near_pillows():
  image = _views((1, 1, 200, 200, 3))
  augment = _make(blur=(1.0, 1.0), blur_sigma=(2.0, 2.0))
  got = np.asarray(augment(image, jax.random.key(0)))[0, 0]
  pillow = Image.fromarray(image[0, 0]).filter(ImageFilter.GaussianBlur(2.0))
  inside = np.s_[12:-12, 12:-12]
  error = np.abs(got - np.asarray(pillow) / 255)[inside]
  assert error.mean() < 0.01


def _fill(fill, probability=1.0, mean=(0.2, 0.4, 0.6), count=6):
  views = _views((count, 3, 8, 8, 3))
  mask = (_views((count, 3, 8, 8), seed=5) > 128).astype(np.uint8)
  augment = _make(dict(probability=probability, fill=fill), mean=mean)
  got = np.asarray(augment(views, jax.random.key(0), mask)) + mean
  return views / 255, mask.astype(bool), got


@pytest.mark.parametrize(
  'fill, value', [('black', (0, 0, 0)), ('mean', (0.2, 0.4, 0.6))]
)
def test_the_background_is_filled_and_the_foreground_kept(fill, value):
  views, mask, got = _fill(fill)
  np.testing.assert_allclose(got[mask], views[mask], atol=1e-6)
  expected = np.broadcast_to(value, got[~mask].shape)
  np.testing.assert_allclose(got[~mask], expected, atol=1e-6)


def test_grey_is_one_uniform_draw_per_view():
  views, mask, got = _fill('grey', count=60)
  np.testing.assert_allclose(got[mask], views[mask], atol=1e-6)
  background = np.ma.masked_array(got, np.repeat(mask[..., None], 3, -1))
  assert (background.max((2, 3, 4)) - background.min((2, 3, 4))).max() < 1e-6
  greys = background.mean(axis=(2, 3, 4)).compressed()
  assert len(np.unique(np.round(greys, 4))) > 170
  assert greys.min() < 0.05 and greys.max() > 0.95


def test_masking_has_its_probability_and_zero_is_off():
  views, _, got = _fill('black', probability=0.1, count=700)
  masked = (np.abs(got - views) > 1e-5).any(axis=(2, 3, 4)).mean()
  assert abs(masked - 0.1) < 0.03
  views, _, got = _fill('black', probability=0.0)
  np.testing.assert_allclose(got, views, atol=1e-6)


def test_the_fill_comes_before_the_colors():
  saliency = dict(probability=1.0, fill='mean')
  augment = _make(saliency, mean=(0.2, 0.4, 0.6), solarize=(1.0, 1.0))
  nothing = np.zeros((1, 1, 4, 4), np.uint8)
  got = augment(_views((1, 1, 4, 4, 3)), jax.random.key(0), nothing)
  restored = np.asarray(got)[0, 0, 0, 0] + (0.2, 0.4, 0.6)
  np.testing.assert_allclose(restored, [0.2, 0.4, 0.4], atol=1e-6)


def _compiled(devices, views, mask):
  mesh = mesh_lib.make_mesh(devices)
  rows, whole = mesh_lib.sharded(mesh), mesh_lib.replicated(mesh)
  augment = _make(dict(probability=0.5, fill='grey'), **ALL)
  return (
    jax.jit(augment, in_shardings=(rows, whole, rows), out_shardings=rows)
    .lower(views, jax.random.key(0), mask)
    .compile()
  )


def test_eight_devices_give_the_views_of_one_without_communication():
  views = _views((16, 3, 24, 24, 3))
  mask = (_views((16, 3, 24, 24)) > 90).astype(np.uint8)
  key = jax.random.key(2)
  one = _compiled(jax.devices()[:1], views, mask)
  eight = _compiled(jax.devices(), views, mask)
  np.testing.assert_allclose(
    one(views, key, mask), eight(views, key, mask), atol=2e-5
  )
  text = eight.as_text()
  for collective in (
    'all-reduce',
    'all-gather',
    'all-to-all',
    'collective-permute',
    'reduce-scatter',
  ):
    assert collective not in text


def test_operations_draw_apart_from_each_other():
  views = np.full((2000, 1, 2, 2, 3), 255, np.uint8)
  views[..., 0] = 200
  augment = _make(grayscale=0.5, solarize=(0.5, 0.5))
  got = np.asarray(augment(views, jax.random.key(0)))[:, 0, 0, 0]
  gray, inverted = got[:, 0] == got[:, 1], got[:, 2] < 0.5
  for share in (gray & inverted, gray & ~inverted, inverted & ~gray):
    assert abs(share.mean() - 0.25) < 0.04
