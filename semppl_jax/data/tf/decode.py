"""From the bytes of a block of images to its rows, some of them unreadable.

TensorFlow cannot catch the error of a decoder, only drop the element that
raised it, which would move every later row. So images go through the decoder
in blocks of a few rows, each block a small dataset of three elements: the block
as it is, a copy in which the next readable image of the block stands in for
each that is unreadable, and black images, where none is readable, or one is no
more that was just before. The first of them that goes through is taken, so the
copies are made only where they are needed. Blocks do not depend on the number
of processes, nor on where the stream began.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from semppl_jax.data.tf.runtime import tf


class Raw(NamedTuple):
  """A block of n images before decoding.

  Attributes:
    content: image bytes, string [n].
    mask: mask bytes (PNG), string [n]; '' where there is none.
    index: position in the data set, int32 [n].
    step: training step, int64 scalar.
  """

  content: tf.Tensor
  mask: tf.Tensor
  index: tf.Tensor
  step: tf.Tensor


class Decoded(NamedTuple):
  """A block of n rows.

  Attributes:
    rows: what the row function made, leading axis [n].
    index: position of the image that each row shows, int32 [n].
    wanted: position of the image that each row was to show, int32 [n].
    good: whether they are the same, bool [n].
  """

  rows: Any
  index: tf.Tensor
  wanted: tf.Tensor
  good: tf.Tensor


# `(content, mask, index, step)` of a block to tensors of its images, of any
# shapes; an error where one of them cannot be read.
OpenFn = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], Any]
# `(opened, index, step)` of a block to its rows, leading axis [n]; no error.
RowsFn = Callable[[Any, tf.Tensor, tf.Tensor], Any]
# Blocks of more images, as of a prime number of rows, are decoded one by one:
# those of a block are in memory together, in each thread.
AT_ONCE = 16
# A black image, which stands in where no image of a block can be read.
BLACK = tf.io.encode_png(tf.zeros([1, 1, 3], tf.uint8)).numpy()


def decode_image(content: tf.Tensor) -> tf.Tensor:
  """Decodes JPEG, PNG, BMP or GIF (first frame) to [H, W, 3], uint8.

  Grey, palette, alpha and CMYK become RGB.
  """
  # One kernel for all formats; for JPEG it runs the same code as decode_jpeg.
  image = tf.io.decode_image(content, channels=3, expand_animations=False)
  return tf.ensure_shape(image, [None, None, 3])


def _rows(index: tf.Tensor) -> Any:
  """Number of rows, which is known."""
  return index.shape[0]


def decode_block(raw: Raw, open_images: OpenFn, rows: RowsFn) -> Decoded:
  """Makes the rows of one block; none of its images can stop the stream.

  Args:
    raw: the block.
    open_images: decodes.
    rows: makes rows of what is decoded.
  """
  block = _rows(raw.index)
  if block > AT_ONCE:
    open_images, rows = _one_by_one(open_images, rows)
  once: Any = tf.data.Dataset.from_tensors(raw)
  whole = once.map(lambda raw: (raw, tf.range(block), True))
  mended = once.map(lambda raw: (*_mended(raw, open_images), True))
  black = once.map(lambda raw: (_black(raw), tf.range(block), False))

  def opened(tried, shown, readable):
    return open_images(*tried), tried.index, shown, readable

  # Only what may fail is in it: a dataset looks at each operation of its
  # functions anew for each block.
  tries: Any = whole.concatenate(mended).concatenate(black).map(opened)
  tries = tries.ignore_errors().take(1)
  images, index, shown, readable = tries.get_single_element()
  return Decoded(
    rows=rows(images, index, raw.step),
    index=index,
    wanted=raw.index,
    good=tf.equal(shown, tf.range(block)) & readable,
  )


def _one_by_one(open_images: OpenFn, rows: RowsFn) -> tuple[OpenFn, RowsFn]:
  """Makes the row of an image before the next one is decoded."""

  def open_all(content, mask, index, step):
    def one(*image):
      content, mask, index = (x[None] for x in image)
      return rows(open_images(content, mask, index, step), index, step)

    images = tf.data.Dataset.from_tensor_slices((content, mask, index))
    count = _rows(index)
    made = images.map(one).batch(count).get_single_element()
    return tf.nest.map_structure(
      lambda x: tf.reshape(x, [count, *x.shape[2:]]), made
    )

  return open_all, lambda made, index, step: made


def _mended(raw: Raw, open_images: OpenFn) -> tuple[Raw, tf.Tensor]:
  """Puts readable images in the place of unreadable ones; an error without any.

  Returns:
    The block, and which of its images each row shows [n].
  """
  block = _rows(raw.index)

  def tried(content, mask, index, slot):
    # The images too, or they are not decoded.
    one = (content[None], mask[None], index[None])
    return open_images(*one, raw.step), slot

  slots = tf.range(block)
  images = tf.data.Dataset.from_tensor_slices((*raw[:3], slots))
  readable: Any = images.map(tried).ignore_errors().map(lambda _, slot: slot)
  end = tf.data.Dataset.from_tensors(block)
  kept = readable.concatenate(end).batch(block + 1).get_single_element()[:-1]
  # The next readable image at or after each slot, around the end.
  place = tf.searchsorted(kept, slots) % tf.maximum(tf.size(kept), 1)
  shown = tf.gather(kept, place)
  content, mask, index = (tf.gather(x, shown) for x in raw[:3])
  return Raw(content, mask, index, raw.step), shown


def _black(raw: Raw) -> Raw:
  shape = tf.shape(raw.content)
  return raw._replace(content=tf.fill(shape, BLACK), mask=tf.fill(shape, ''))


def decode_blocks(
  raws: tf.data.Dataset,
  open_images: OpenFn,
  rows: RowsFn,
  *,
  block: int,
  blocks: int,
  threads: int,
  unpack: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
) -> tf.data.Dataset:
  """Decodes blocks in parallel and joins `blocks` of them to one `Decoded`.

  Args:
    raws: elements (content [block], index [block], step), content as stored.
    open_images: decodes a block.
    rows: makes rows of what is decoded.
    block: rows in a block.
    blocks: blocks in an element of the result.
    threads: blocks decoded at once.
    unpack: from content as stored to image and mask bytes [block].
  """

  def make(stored, index, step):
    content, mask = unpack(stored)
    content, mask, index = (
      tf.ensure_shape(x, [block]) for x in (content, mask, index)
    )
    return decode_block(Raw(content, mask, index, step), open_images, rows)

  def join(decoded):
    return tf.nest.map_structure(
      lambda x: tf.reshape(x, [blocks * block, *x.shape[2:]]), decoded
    )

  made = raws.map(make, num_parallel_calls=threads)
  return made.batch(blocks, drop_remainder=True).map(join)
