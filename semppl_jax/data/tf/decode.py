"""Decoding of a block of images, some of which are unreadable.

TensorFlow cannot catch the error of a decoder, only drop the element that
raised it, which would shift every later row. So images are decoded in blocks
of a few rows, each a small dataset of three elements: the block as it is; a
copy in which the next readable image of the block replaces each unreadable one;
and black images, where no image is readable, or files vanish while they are
read. The first element without an error is taken, so the copies are computed
only where they are needed. Blocks depend neither on the number of processes
nor on the first step.

Decoding takes most of the time of a large photograph, and libjpeg decodes to a
half, a quarter or an eighth of its size, from fewer frequencies, in a fraction
of it. `decode_all` uses such a ratio where each view still comes from at least
as many pixels as it has.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxtyping import PyTree

from semppl_jax.data.tf.crop_resize import image_sizes
from semppl_jax.data.tf.runtime import tf


class EncodedBlock(NamedTuple):
  """A block of n images before decoding.

  Attributes:
    content: image bytes, string [n].
    mask: mask bytes (PNG), string [n]; '' for no mask.
    index: position in the data set, int32 [n].
    step: training step, int64 scalar.
  """

  content: tf.Tensor
  mask: tf.Tensor
  index: tf.Tensor
  step: tf.Tensor


class DecodedBlock(NamedTuple):
  """A block of n rows.

  Attributes:
    rows: result of the row function, leading axis [n].
    index: position of the image that each row shows, int32 [n].
    requested: position of the image that each row should show, int32 [n].
    readable: True where they are the same, bool [n].
  """

  rows: PyTree
  index: tf.Tensor
  requested: tf.Tensor
  readable: tf.Tensor


# `(content, mask, index, step)` of a block to tensors of its images, of any
# shapes; an error where an image cannot be read.
DecodeFn = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], PyTree]
# `(decoded, index, step)` of a block to its rows, leading axis [n]; no error.
RowsFn = Callable[[PyTree, tf.Tensor, tf.Tensor], PyTree]
# Larger blocks, as of a prime number of rows, are decoded image by image: all
# images of a block are in memory together, in each thread.
MAX_JOINT = 16
RATIOS = (1, 2, 4, 8)  # Supported by libjpeg.
BLACK = tf.io.encode_png(tf.zeros([1, 1, 3], tf.uint8)).numpy()


def decode_image(content: tf.Tensor) -> tf.Tensor:
  """Decodes JPEG, PNG, BMP or GIF (first frame) to RGB [H, W, 3], uint8."""
  # One kernel for all formats; for JPEG it runs the same code as decode_jpeg.
  image = tf.io.decode_image(content, channels=3, expand_animations=False)
  return tf.ensure_shape(image, [None, None, 3])


def decode_block(
  block: EncodedBlock, decode: DecodeFn, make_rows: RowsFn
) -> DecodedBlock:
  """Returns the rows of one block; no unreadable image can stop the stream."""
  size: int = block.index.shape[0]  # pyright: ignore[reportAssignmentType]
  if size > MAX_JOINT:
    decode, make_rows = _one_by_one(decode, make_rows)
  once = tf.data.Dataset.from_tensors(block)
  whole = once.map(lambda block: (block, tf.range(size), tf.constant(True)))
  repaired = once.map(
    lambda block: (*_replace_unreadable(block, decode), tf.constant(True))
  )
  black = once.map(
    lambda block: (_black(block), tf.range(size), tf.constant(False))
  )

  def decoded(block, sources, exact):
    return decode(*block), block.index, sources, exact

  # Only what can fail is in the dataset, which inspects each operation of its
  # functions again for every block.
  candidates = whole.concatenate(repaired)
  candidates = candidates.concatenate(black).map(decoded)
  candidates = candidates.ignore_errors().take(1)
  images, index, sources, exact = candidates.get_single_element()
  return DecodedBlock(
    rows=make_rows(images, index, block.step),
    index=index,
    requested=block.index,
    readable=tf.equal(sources, tf.range(size)) & exact,
  )


def _one_by_one(decode: DecodeFn, make_rows: RowsFn) -> tuple[DecodeFn, RowsFn]:
  """Makes the row of an image before the next one is decoded."""

  def decode_to_rows(content, mask, index, step):
    def one(*image):
      content, mask, index = (x[None] for x in image)
      return make_rows(decode(content, mask, index, step), index, step)

    images = tf.data.Dataset.from_tensor_slices((content, mask, index))
    count = index.shape[0]
    rows = images.map(one).batch(count).get_single_element()
    return flatten_blocks(rows, count)

  return decode_to_rows, lambda rows, index, step: rows


def flatten_blocks(tree: PyTree, rows: int) -> PyTree:
  """Reshapes tensors [blocks, n, ...] to [rows, ...]."""
  return tf.nest.map_structure(
    lambda x: tf.reshape(x, [rows, *x.shape[2:]]), tree
  )


def _replace_unreadable(
  block: EncodedBlock, decode: DecodeFn
) -> tuple[EncodedBlock, tf.Tensor]:
  """Replaces each unreadable image by the next readable one, cyclically.

  Returns the block and the source row of each row [n]; fails without a readable
  image.
  """
  size: int = block.index.shape[0]  # pyright: ignore[reportAssignmentType]

  def attempt(content, mask, index, row):
    # The images are returned too, or they would not be decoded.
    return decode(content[None], mask[None], index[None], block.step), row

  rows = tf.range(size)
  images = tf.data.Dataset.from_tensor_slices((*block[:3], rows))
  readable = images.map(attempt).ignore_errors().map(lambda _, row: row)
  end = tf.data.Dataset.from_tensors(size)
  usable = readable.concatenate(end).batch(size + 1).get_single_element()[:-1]
  place = tf.searchsorted(usable, rows) % tf.maximum(tf.size(usable), 1)
  sources = tf.gather(usable, place)
  content, mask, index = (tf.gather(x, sources) for x in block[:3])
  return EncodedBlock(content, mask, index, block.step), sources


def _black(block: EncodedBlock) -> EncodedBlock:
  shape = tf.shape(block.content)
  return block._replace(content=tf.fill(shape, BLACK), mask=tf.fill(shape, ''))


def _header_size(content: tf.Tensor) -> tf.Tensor:
  """Returns height and width from a JPEG header, int32 [2]; else 0, 0."""
  return tf.cond(
    tf.io.is_jpeg(content),
    lambda: tf.io.extract_jpeg_shape(content)[:2],
    lambda: tf.zeros([2], tf.int32),
  )


def largest_ratio(limit: tf.Tensor) -> tf.Tensor:
  """Returns the largest of `RATIOS` up to `limit` (float32), or 1, int32."""
  largest = tf.ones_like(limit, tf.int32)
  for ratio in RATIOS[1:]:
    largest = tf.where(limit >= ratio, ratio, largest)
  return largest


def _decode_scaled(content: tf.Tensor, ratio: tf.Tensor) -> tf.Tensor:
  """Decodes an image as `decode_image`, a JPEG at 1 / `ratio` of its size."""

  def scaled(ratio: int) -> Callable[[], tf.Tensor]:
    return lambda: tf.io.decode_jpeg(content, channels=3, ratio=ratio)

  image = tf.case(
    [(tf.equal(ratio, r), scaled(r)) for r in RATIOS[1:]],
    default=lambda: decode_image(content),
  )
  return tf.ensure_shape(image, [None, None, 3])


def decode_all(
  contents: Sequence[tf.Tensor],
  shrink_limit: Callable[[tf.Tensor], tf.Tensor],
) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
  """Decodes n images, each at the smallest sufficient size.

  Args:
    contents: bytes, string scalars.
    shrink_limit: from sizes, int32 [n, 2], to the largest factor by which each
      image may shrink, float32 [n].

  Returns:
    Images [h, w, 3] each, uint8, and their original sizes, int32 [n, 2].
  """
  headers = tf.stack([_header_size(each) for each in contents])
  is_jpeg = headers[:, 0] > 0
  ratios = largest_ratio(shrink_limit(tf.maximum(headers, 1)))
  ratios = tf.where(is_jpeg, ratios, 1)
  images = tuple(map(_decode_scaled, contents, tf.unstack(ratios)))
  return images, tf.where(is_jpeg[:, None], headers, image_sizes(images))
