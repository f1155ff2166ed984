import numpy as np
from PIL import Image
import pytest

from semppl_jax.saliency import contact_sheet, detectors, mask_fn

MAKER = mask_fn.detector_maker('mean', 0.5)


def test_a_row_shows_an_image_and_what_is_made_of_it():
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
  found, mask = (
    mask_fn.make_saliency_fn(MAKER)(image),
    mask_fn.make_mask_fn(MAKER)(image),
  )
  panels = contact_sheet._panels(image, found, MAKER)
  titles = ['image', *detectors.DETECTORS, 'mean', 'mask', 'masked view']
  assert list(panels) == titles
  view = panels['masked view']
  np.testing.assert_array_equal(view[mask], image[mask])
  assert (view[~mask] == 128).all() and 0 < mask.mean() < 1


def test_a_sheet_has_a_row_for_each_readable_image(data, tmp_path):
  sizes, unreadable = [], _unreadable(data)
  readable = np.flatnonzero(~unreadable)[:4]
  some = data.select(np.sort([*np.flatnonzero(unreadable), *readable]))
  for count in (2, 100):
    file = tmp_path / f'{count}.png'
    contact_sheet.write(str(file), some, count, MAKER)
    with Image.open(file) as sheet:
      sizes.append(sheet.size)
  assert sizes[0][0] == sizes[1][0]
  assert sizes[1][1] == sizes[0][1] / 2 * 4


def test_a_sheet_of_nothing_readable_is_named(data, tmp_path):
  bad = data.select(np.flatnonzero(_unreadable(data)))
  with pytest.raises(ValueError, match='None of the 1 images to show'):
    contact_sheet.write(str(tmp_path / 'x.png'), bad, 1, MAKER)


def _unreadable(data):
  from semppl_jax.saliency import shards

  found = shards.read_images(shards.make_shard(data, np.arange(data.size)))
  return np.array([image is None for image in found])
