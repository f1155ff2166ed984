"""Canvases that the host sends, and the views that the device crops."""

import io
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from semppl_jax.data import dataset, labels, pipeline
from semppl_jax.data.batch import UncroppedBatch
from semppl_jax.data.device.views import make_views
from semppl_jax.data.tf import views
from semppl_jax.data.tf.runtime import tf
from semppl_jax.runtime import mesh as mesh_lib
from tests.helpers.image_sets import encoded, write_folder, write_records
from tests.helpers.train_steps import KINDS


def _placed(image, size, mask=None):
  masked = None if mask is None else tf.constant(mask[..., None])
  placed = views.place_on_canvas(tf.constant(image), masked, size)
  return [np.asarray(x) for x in placed]


def _noise(*shape):
  return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def test_what_fits_is_copied():
  image = _noise(4, 7)
  mask = image[..., 0] // 128
  found, extent, laid, transposed = _placed(image, (5, 8), mask)
  np.testing.assert_array_equal(extent, [4, 7])
  assert not transposed
  np.testing.assert_array_equal(found[:4, :7], image)
  np.testing.assert_array_equal(laid[:4, :7], mask)
  assert not found[4:].any() and not found[:, 7:].any() and not laid[4:].any()


def test_upright_images_lie_on_their_side():
  image = _noise(7, 4)
  found, extent, _, transposed = _placed(image, (5, 8))
  assert transposed
  np.testing.assert_array_equal(extent, [4, 7])
  np.testing.assert_array_equal(found[:4, :7], image.swapaxes(0, 1))
  # And wide ones stand, where the canvas does.
  found, extent, _, transposed = _placed(image.swapaxes(0, 1), (8, 5))
  assert transposed
  np.testing.assert_array_equal(extent, [7, 4])
  assert not _placed(image, (9, 9))[3]


def _means(pixels, count):
  """Returns the weights that average pixels into `count` [count, pixels]."""
  ends = np.arange(count + 1)[:, None] * pixels / count
  covered = np.clip(ends - np.arange(pixels), 0, 1)
  return (covered[1:] - covered[:-1]) * count / pixels


@pytest.mark.parametrize('shape', [(40, 20), (20, 40), (10, 100), (1, 90)])
def test_what_is_larger_is_scaled_down(shape):
  image = _noise(*shape)
  mask = np.zeros(shape, np.uint8)
  mask[: shape[0] // 2] = 1
  found, extent, laid, transposed = _placed(image, (10, 16), mask)
  scale = min(10 / min(shape), 16 / max(shape))
  expected = [max(round(scale * x), 1) for x in sorted(shape)]
  np.testing.assert_array_equal(extent, expected)
  assert transposed == (shape[0] > shape[1])
  height, width = extent
  upright = (
    found[:height, :width].swapaxes(0, 1)
    if transposed
    else (found[:height, :width])
  )
  down, across = map(_means, shape, upright.shape)
  means = np.einsum('hi,wj,ijc->hwc', down, across, image)
  assert np.abs(upright - means).max() <= 0.51
  if min(shape) > 1:
    share = laid[:height, :width].mean()
    assert 0.35 < share < 0.65


def _batches(c, count, start=0, process=(0, 1), support=False):
  train = dataset.load(c.data).train
  found = pipeline.train_batches(
    c, train, labels.select(c.data, train), start_step=start,
    process_index=process[0], process_count=process[1], support=support,
  )  # fmt: skip
  return [x.batch for x in itertools.islice(found, count)]


@pytest.fixture
def uncropped(any_config):
  any_config.data.update(crops='device', canvas=(12, 14))
  any_config.support.update(classes_per_batch=2, images_per_class=4, views=1)
  return any_config


@pytest.mark.parametrize('any_config', ['folder'], indirect=True)
def test_the_rows_are_those_that_the_host_would_cut(uncropped):
  whole = _batches(uncropped, 3, support=True)
  uncropped.data.crops = 'host'
  cut = _batches(uncropped, 3, support=True)
  for a, b in zip(whole, cut, strict=True):
    assert isinstance(a, UncroppedBatch)
    assert a.canvas.image.shape == (16, 12, 14, 3)
    assert a.canvas.mask is None
    for name in ('label', 'index', 'diagnostic_label'):
      np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for name in ('label', 'column', 'index'):
      np.testing.assert_array_equal(
        getattr(a.support, name), getattr(b.support, name)
      )
    assert a.support.canvas.image.shape == (8, 12, 14, 3)


@pytest.mark.parametrize('any_config', KINDS, indirect=True)
def test_start_and_process_count_change_nothing(uncropped):
  (*_, straight) = _batches(uncropped, 4, support=True)
  parts = [_batches(uncropped, 1, 3, (p, 2), support=True)[0] for p in range(2)]
  joined = jax.tree.map(lambda *x: np.concatenate(x), *parts)
  jax.tree.map(np.testing.assert_array_equal, straight, joined)


def test_masks_come_along(config, tmp_path):
  c = config
  c.data.update(
    kind='tfrecord', path=write_records(tmp_path, mask=True), crops='device',
    canvas=(12, 14),
  )  # fmt: skip
  (batch,) = _batches(c, 1)
  for row, index in enumerate(batch.index):
    height, width = batch.canvas.extent[row]
    stored = Image.open(io.BytesIO(encoded(index, mode='L')))
    # Twelve high and ten wide: it lies on its side.
    np.testing.assert_array_equal(
      batch.canvas.mask[row, :height, :width].T == 1, np.asarray(stored) > 127
    )


def test_the_step_cuts_them(config, tmp_path):
  """An image of two colors: no view shows a third one, nor the padding."""

  def image(number, size):
    del number
    pixels = np.full((*size, 3), 200, np.uint8)
    stream = io.BytesIO(b'')
    Image.fromarray(pixels).save(stream, 'PNG')
    return stream.getvalue()

  c = config
  c.data.update(
    kind='folder', path=write_folder(tmp_path / 'x', 16, image=image),
    crops='device', canvas=(10, 16),
  )  # fmt: skip
  (batch,) = _batches(c, 1)
  assert (
    batch.canvas.transposed.any() or (batch.canvas.extent[:, 0] <= 10).all()
  )
  cut = jax.jit(make_views(c, mesh_lib.make_mesh(jax.devices()[:1])))
  found = cut(batch, jax.random.key(0), jnp.zeros((), jnp.int32))
  assert found.large.shape == (16, 2, 8, 8, 3)
  assert found.small.shape == (16, 1, 4, 4, 3)
  np.testing.assert_array_equal(found.large, 200)
  np.testing.assert_array_equal(found.small, 200)
