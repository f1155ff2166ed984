"""Blocks of images, some of which cannot be decoded, or only once."""

import numpy as np
import pytest

from semppl_jax.data.tf import decode
from semppl_jax.data.tf.runtime import tf


def _block(words):
  content = tf.constant(words)
  index = tf.range(len(words)) + 10
  return decode.EncodedBlock(
    content, tf.fill([len(words)], ''), index, tf.constant(0)
  )


def _decoded(words, open_images):
  found = decode.decode_block(
    _block(words), open_images, lambda decoded, index, step: decoded
  )
  return [np.asarray(x).tolist() for x in found]


def _numbers(content, mask, index, step):
  """Content is a number; black counts as none."""
  del mask, index, step
  black = tf.equal(content, decode.BLACK)
  return tf.strings.to_number(tf.where(black, '0', content))


def _alone(content, mask, index, step):
  """As when files go while they are read: none that is not read alone."""
  read = tf.size(content) == 1
  read |= tf.reduce_all(tf.equal(content, decode.BLACK))
  with tf.control_dependencies([tf.debugging.Assert(read, [read])]):
    return _numbers(tf.identity(content), mask, index, step)


@pytest.mark.parametrize(
  ('words', 'open_images', 'rows', 'index', 'good'),
  [
    (['1', '2', '3'], _numbers, [1, 2, 3], [10, 11, 12], [True] * 3),
    # The next readable one stands in, around the end.
    (['1', 'x', '3'], _numbers, [1, 3, 3], [10, 12, 12], [True, False, True]),
    (['1', '2', 'x'], _numbers, [1, 2, 1], [10, 11, 10], [True, True, False]),
    # Black images stand in where none is readable, nor the second time.
    (['x', 'y', 'z'], _numbers, [0] * 3, [10, 11, 12], [False] * 3),
    (['1', '2', '3'], _alone, [0] * 3, [10, 11, 12], [False] * 3),
  ],
)
def test_no_image_can_stop_a_block(words, open_images, rows, index, good):
  assert _decoded(words, open_images) == [rows, index, [10, 11, 12], good]


def test_large_blocks_are_made_one_by_one():
  words = [str(n) for n in range(decode.MAX_JOINT + 1)]
  words[3] = 'x'
  rows, index, wanted, good = _decoded(words, _numbers)
  assert rows == [n + (n == 3) for n in range(len(words))]
  assert index == [10 + n for n in rows]
  assert wanted == [10 + n for n in range(len(words))]
  assert good == [n != 3 for n in range(len(words))]
