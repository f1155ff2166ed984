"""Sheets of small images."""

import numpy as np
from PIL import Image

from semppl_jax.labelling import contact_sheet


def test_every_image_has_a_place(tmp_path):
  images = {n: np.full((6, 6, 3), 20 * n, np.uint8) for n in range(10)}
  sizes = []
  for count in (1, 8, 9):
    file = tmp_path / f'{count}.png'
    captions = [(n, f'image {n}') for n in range(count)]
    contact_sheet.write(str(file), images, captions)
    sizes.append(Image.open(file).size)
  one, row, two_rows = sizes
  assert row[0] == 8 * one[0] and row[1] == one[1]
  assert two_rows == (row[0], 2 * row[1])


def test_a_missing_image_is_left_out(tmp_path):
  file = tmp_path / 'sheet.png'
  images = {3: np.zeros((4, 4, 3), np.uint8)}
  contact_sheet.write(str(file), images, [(1, 'gone'), (3, 'here')])
  assert Image.open(file).size[0] < 300
