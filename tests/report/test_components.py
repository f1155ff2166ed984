"""Pictures of the page."""

import base64
import io

import numpy as np
from PIL import Image
import pytest

from semppl_jax.report.components import encode_image, Picture


def _decode(source):
  head, content = source.split(',')
  assert head == 'data:image/webp;base64'
  return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize(
  ('shape', 'size'),
  [
    ((20, 30, 3), (30, 20)),  # Enlarged by the page.
    ((300, 600, 3), (112, 56)),
    ((600, 300), (56, 112)),
  ],
)
def test_images_are_small_files_of_the_same_form(shape, size):
  image = np.full(shape, 200, np.uint8)
  found = _decode(encode_image(image))
  assert found.size == size
  assert abs(int(np.asarray(found.convert('L')).mean()) - 200) <= 2


def test_a_picture_has_a_caption_and_a_verdict():
  picture = Picture.from_image(np.zeros((4, 4, 3), np.uint8), 'cat', False)
  assert picture.caption == 'cat' and picture.right is False
  assert _decode(picture.source).size == (4, 4)
