"""Views of a step, from a data set on the device or from whole images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import quickstart
from semppl_jax.data.batch import Canvas, DeviceDataset, UncroppedBatch
from semppl_jax.data.device import views
from semppl_jax.runtime import mesh as mesh_lib

IMAGES, ROWS, LABELLED = 24, 16, 4
KEY = jax.random.key(1)


def _config():
  c = quickstart.get_config()
  c.batch_size, c.data.labelled_per_batch = ROWS, LABELLED
  c.views.large.update(count=2, size=6)
  c.views.small.update(count=1, size=4)
  c.support.update(classes_per_batch=2, images_per_class=4, views=2)
  return c


def _data(mask=True, support=True):
  """Image n has the grey 10 n and its class is n % 3; nine are labelled."""
  numbers = np.arange(IMAGES, dtype=np.int32)
  image = np.zeros((IMAGES, 9, 11, 3), np.uint8)
  image[:] = (10 * numbers)[:, None, None, None]
  truth = numbers % 3
  known = numbers < 9
  table = np.stack([np.flatnonzero(known & (truth == n)) for n in range(3)])
  return DeviceDataset(
    canvas=Canvas(
      image=image,
      extent=np.full((IMAGES, 2), (8, 10), np.int32),
      mask=(image[..., 0] // 10 % 2).astype(np.uint8) if mask else None,
    ),
    label=np.where(known, truth, -1),
    diagnostic_label=truth,
    populations=(numbers[known], numbers[~known]),
    support=(table, np.full(3, 3, np.int32)) if support else None,
  )


def _made(given, steps, config=None, count=1):
  mesh = mesh_lib.make_mesh(jax.devices()[:count])
  given = jax.device_put(given, mesh_lib.replicated(mesh))
  made = jax.jit(
    views.make_views(config or _config(), mesh),
    out_shardings=mesh_lib.sharded(mesh),
  )
  return [
    jax.device_get(made(given, KEY, jnp.asarray(n, jnp.int32))) for n in steps
  ]


@pytest.fixture(scope='module')
def batches():
  return _made(_data(), range(12))


def test_every_row_is_the_image_that_it_says(batches):
  for batch in batches:
    assert batch.large.shape == (ROWS, 2, 6, 6, 3)
    assert batch.small.shape == (ROWS, 1, 4, 4, 3)
    for cut in (batch.large, batch.small):
      np.testing.assert_array_equal(
        cut,
        np.broadcast_to(10 * batch.index[:, None, None, None, None], cut.shape),
      )
    np.testing.assert_array_equal(batch.diagnostic_label, batch.index % 3)
    np.testing.assert_array_equal(
      batch.label, np.where(batch.index < 9, batch.index % 3, -1)
    )
    assert (batch.mask == batch.index[:, None, None, None] % 2).all()
    # A quarter of the rows is labelled, every fourth one.
    np.testing.assert_array_equal(
      np.flatnonzero(batch.label >= 0), [3, 7, 11, 15]
    )


def test_epochs_of_both_streams(batches):
  index = np.stack([batch.index for batch in batches])
  labelled = index[:, 3::4].ravel()
  for epoch in labelled[: 5 * 9].reshape(-1, 9):
    assert set(epoch) == {*range(9)}
  others = np.delete(index, [3, 7, 11, 15], axis=1).ravel()
  for epoch in others[: 9 * 15].reshape(-1, 15):
    assert set(epoch) == {*range(9, 24)}


def test_support_rows(batches):
  for batch in batches:
    found = batch.support
    assert found.large.shape == (8, 2, 6, 6, 3)
    np.testing.assert_array_equal(found.column, np.repeat([0, 1], 4))
    np.testing.assert_array_equal(found.label, found.index % 3)
    assert (found.index < 9).all()
    assert (found.large == 10 * found.index[:, None, None, None, None]).all()
    assert len(set(found.label)) == 2
    for own in found.index.reshape(2, 4):
      # Three images, the first of them again.
      assert len(set(own[:3])) == 3 and own[3] == own[0]


@pytest.mark.parametrize('count', [2, 8])
def test_the_device_count_changes_nothing(batches, count):
  found = _made(_data(), [0, 7], count=count)
  for a, b in zip([batches[0], batches[7]], found, strict=True):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_rows_of_the_host_are_cut_alike():
  """The host sends whole images, in any order."""
  data = _data(support=False)
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, data.canvas.image.shape, np.uint8)
  canvas = data.canvas._replace(image=image)

  def uncut(rows):
    return UncroppedBatch(
      canvas=jax.tree.map(lambda x: x[rows], canvas),
      label=data.label[rows],
      index=rows.astype(np.int32),
      diagnostic_label=data.diagnostic_label[rows],
    )

  rows = np.arange(ROWS)
  (straight,) = _made(uncut(rows), [3])
  (turned,) = _made(uncut(rows[::-1]), [3])
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a, b[::-1]), straight, turned
  )
  (later,) = _made(uncut(rows), [4])
  assert (later.large != straight.large).any()


def test_without_masks_and_small_views():
  c = _config()
  c.views.small.count = 0
  (batch,) = _made(_data(mask=False, support=False), [0], c)
  assert batch.mask is None and batch.support is None
  assert batch.small.shape == (ROWS, 0, 4, 4, 3)
