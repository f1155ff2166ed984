"""Crops of images, resized to squares, as TensorFlow graph code.

`'bicubic'` is Keys's kernel with a = -0.5 and `'bilinear'` the triangle, with
half-pixel centers; pixels outside a box are ignored. Without antialiasing, a
kernel covers 4 or 2 pixels of each row and column, as by default in
`tf.image.resize`; with it, the kernel widens as the box shrinks, as in Pillow
and torchvision.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from semppl_jax.data.tf.runtime import tf

_PLAIN = {
  'bicubic': tf.raw_ops.ResizeBicubic,
  'bilinear': tf.raw_ops.ResizeBilinear,
}
_ANTIALIASED = {'bicubic': 'keyscubic', 'bilinear': 'triangle'}
# Squares that are rounded and mirrored together fit into a core's own cache.
_GROUP_BYTES = 2**18
# From a crop [h, w * C] and its number to a resized crop [1, size, size, C].
_Resize = Callable[[tf.Tensor, int], tf.Tensor]


class Filter(NamedTuple):
  """Interpolation of a resize.

  Attributes:
    interpolation: `'bicubic'` or `'bilinear'`.
    antialias: True to widen the kernel as the box shrinks.
  """

  interpolation: str
  antialias: bool = False


class Matrices(NamedTuple):
  """Images as matrices, of which whole rows are copied at once.

  Attributes:
    values: [height, width x C] each, uint8, n of them.
    channels: C.
  """

  values: list[tf.Tensor]
  channels: int


def image_sizes(images: Sequence[tf.Tensor]) -> tf.Tensor:
  """Returns height and width of each image, int32 [n, 2]."""
  return tf.stack([tf.shape(image) for image in images])[:, :2]


def to_matrices(images: Sequence[tf.Tensor], sizes: tf.Tensor) -> Matrices:
  """Reshapes images [height, width, C] of known `image_sizes`."""
  channels: int = images[0].shape[-1]  # pyright: ignore[reportAssignmentType]
  shapes = tf.unstack(sizes * [1, channels], num=len(images))
  return Matrices([*map(tf.reshape, images, shapes)], channels)


def crop_and_resize(
  images: Matrices,
  boxes: tf.Tensor,
  flips: tf.Tensor,
  size: int,
  resize_filter: Filter,
) -> tf.Tensor:
  """Crops boxes of images and resizes them to [n, V, size, size, C], uint8.

  Args:
    images: n images.
    boxes: top, left, height, width in pixels, int32 [n, V, 4].
    flips: True to mirror the columns, bool [n, V].
    size: side of the squares in pixels.
    resize_filter: interpolation.
  """
  matrices, channels = images
  count = boxes.shape[1]
  if not count:
    return tf.zeros([len(matrices), 0, size, size, channels], tf.uint8)
  total = len(matrices) * count
  corners = tf.reshape(boxes * [1, channels, 1, channels], [total, 2, 2])
  begins, extents = map(tf.unstack, tf.unstack(corners, axis=1))
  make = _antialiased if resize_filter.antialias else _plain
  resize = make(boxes[:, :, 2:], size, channels, resize_filter.interpolation)
  finish = _finisher(tf.reshape(flips, [total]), size, channels)
  group = max(_GROUP_BYTES // (4 * size * size * channels), 1)
  finished: list[tf.Tensor] = []
  for first in range(0, total, group):
    resized: list[tf.Tensor] = []
    for number in range(first, min(first + group, total)):
      # One at a time: all at once, they would push each other out of the
      # cache. Blocks of images are the parallelism.
      with tf.control_dependencies(resized[-1:] or finished[-1:]):
        matrix = matrices[number // count]
        crop = tf.slice(matrix, begins[number], extents[number])
      resized.append(resize(crop, number))
    finished.append(finish(resized, first))
  joined = tf.concat(finished, axis=0) if finished[1:] else finished[0]
  return tf.reshape(joined, [len(matrices), count, size, size, channels])


def _plain(
  sides: tf.Tensor, size: int, channels: int, interpolation: str
) -> _Resize:
  ones = tf.ones_like(sides[:, :, :1])
  shapes = tf.concat([ones, sides, ones * channels], axis=2)
  shapes = tf.unstack(tf.reshape(shapes, [-1, 4]))

  def resize(crop: tf.Tensor, number: int) -> tf.Tensor:
    # The operation reads each pixel several times, and bytes more slowly.
    image = tf.reshape(tf.cast(crop, tf.float32), shapes[number])
    image.set_shape([1, None, None, channels])
    return _PLAIN[interpolation](
      images=image, size=[size, size], half_pixel_centers=True
    )

  return resize


def _antialiased(
  sides: tf.Tensor, size: int, channels: int, interpolation: str
) -> _Resize:
  """Resizes rows, transposes, and resizes again.

  The operation is fast along columns, where it works on whole rows, and slow
  along rows.
  """
  sides = tf.reshape(sides, [-1])
  ones = tf.ones_like(sides)
  shapes = tf.unstack(tf.stack([ones, sides, ones, -ones], axis=1))
  factors = size / tf.cast(sides, tf.float32)
  factors = tf.unstack(tf.stack([factors, tf.ones_like(factors)], axis=1))

  def resize_columns(columns: tf.Tensor, side: int) -> tf.Tensor:
    return tf.raw_ops.ScaleAndTranslate(
      images=tf.reshape(columns, shapes[side]),
      size=[size, 1],
      scale=factors[side],
      translation=[0.0, 0.0],
      kernel_type=_ANTIALIASED[interpolation],
      antialias=True,
    )

  def resize(crop: tf.Tensor, number: int) -> tf.Tensor:
    rows = tf.reshape(resize_columns(crop, 2 * number), [size, -1, channels])
    columns = tf.transpose(rows, [1, 0, 2])
    pixels = to_uint8(resize_columns(columns, 2 * number + 1))
    pixels = tf.reshape(pixels, [1, size, size, channels])
    return tf.transpose(pixels, [0, 2, 1, 3])

  return resize


def _finisher(
  flips: tf.Tensor, size: int, channels: int
) -> Callable[[list[tf.Tensor], int], tf.Tensor]:
  """Returns a function that rounds and mirrors squares [n, size, size, C].

  It takes the squares, and the number of the first.
  """
  # `reverse` is fast for the middle of three axes; [1, 1, all] is unchanged.
  square, whole = [size, size, channels], [1, 1, size * size * channels]
  shapes = tf.unstack(tf.where(flips[:, None], [square], [whole]))

  def finish(resized: list[tf.Tensor], first: int) -> tf.Tensor:
    count = len(resized)
    pixels = tf.concat(resized, axis=0) if count > 1 else resized[0]
    if pixels.dtype != tf.uint8:
      pixels = to_uint8(pixels)
    if count == 1:
      pixels = tf.reverse(tf.reshape(pixels, shapes[first]), [1])
      return tf.reshape(pixels, [1, *square])
    mirrored = tf.reverse(tf.reshape(pixels, [-1, size, channels]), [1])
    return tf.raw_ops.Select(
      condition=flips[first : first + count],
      x=tf.reshape(mirrored, [count, *square]),
      y=pixels,
    )

  return finish


def to_uint8(pixels: tf.Tensor) -> tf.Tensor:
  """Clips to [0, 255] and rounds half to even, in one pass."""
  quantized = tf.raw_ops.QuantizeV2(
    input=pixels,
    min_range=0.0,
    max_range=255.0,
    T=tf.quint8,
    mode='SCALED',
    round_mode='HALF_TO_EVEN',
  )
  return tf.bitcast(quantized.output, tf.uint8)
