"""Boxes of images scaled to squares, as TensorFlow graph code.

`'bicubic'` is Keys's kernel with a = -0.5 and `'bilinear'` the triangle, with
half-pixel centres; what lies outside a box has no part in it. Plain, a kernel
takes 4 or 2 pixels of each row and column, as by default in `tf.image.resize`;
antialiased, it widens by as much as the box shrinks, as in Pillow and
torchvision.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from semppl_jax.data.tf.runtime import tf

_PLAIN = {
  'bicubic': tf.raw_ops.ResizeBicubic,
  'bilinear': tf.raw_ops.ResizeBilinear,
}
_ANTIALIASED = {'bicubic': 'keyscubic', 'bilinear': 'triangle'}
INTERPOLATIONS = tuple(_ANTIALIASED)
# Of squares that are rounded and mirrored together: what a core's own cache
# holds with room to spare.
_GROUP_BYTES = 2**18


class Filter(NamedTuple):
  """How a box is scaled.

  Attributes:
    interpolation: `'bicubic'` or `'bilinear'`.
    antialias: whether the kernel widens as the box shrinks.
  """

  interpolation: str
  antialias: bool = False


class Flat(NamedTuple):
  """Images as matrices, of which whole rows are copied at once.

  Attributes:
    matrices: [height, width x C] each, uint8, n of them.
    channels: C.
  """

  matrices: list[tf.Tensor]
  channels: int


def shapes(images: Sequence[tf.Tensor]) -> tf.Tensor:
  """Returns height and width of each image, int32 [n, 2]."""
  return tf.stack([tf.shape(image) for image in images])[:, :2]


def flatten(images: Sequence[tf.Tensor], sizes: tf.Tensor) -> Flat:
  """Takes images [height, width, C] and their `shapes`; copies nothing."""
  channels: Any = images[0].shape[-1]
  ends = tf.unstack(sizes * [1, channels], num=len(images))
  pairs = zip(images, ends, strict=True)
  return Flat([tf.reshape(image, end) for image, end in pairs], channels)


def squares(
  images: Flat, boxes: tf.Tensor, flips: tf.Tensor, size: int, kind: Filter
) -> tf.Tensor:
  """Cuts boxes out of images and scales them: [n, V, size, size, C], uint8.

  Args:
    images: n of them.
    boxes: top, left, height, width in pixels, int32 [n, V, 4].
    flips: whether to mirror the columns, bool [n, V].
    size: side of the squares in pixels.
    kind: how to scale.
  """
  matrices, channels = images
  count = boxes.shape[1]
  if not count:
    return tf.zeros([len(matrices), 0, size, size, channels], tf.uint8)
  total = len(matrices) * count
  corners = tf.reshape(boxes * [1, channels, 1, channels], [total, 2, 2])
  begins, extents = map(tf.unstack, tf.unstack(corners, axis=1))
  make = _antialiased if kind.antialias else _plain
  scale = make(boxes[:, :, 2:], size, channels, kind.interpolation)
  finish = _finisher(tf.reshape(flips, [total]), size, channels)
  together = max(_GROUP_BYTES // (4 * size * size * channels), 1)
  made: list[tf.Tensor] = []
  for first in range(0, total, together):
    scaled: list[tf.Tensor] = []
    for place in range(first, min(first + together, total)):
      # One at a time: all at once, they would push each other out of the
      # cache. Blocks of images are the parallelism.
      with tf.control_dependencies(scaled[-1:] or made[-1:]):
        matrix = matrices[place // count]
        cut = tf.slice(matrix, begins[place], extents[place])
      scaled.append(scale(cut, place))
    made.append(finish(scaled, first))
  joined = tf.concat(made, axis=0) if made[1:] else made[0]
  return tf.reshape(joined, [len(matrices), count, size, size, channels])


def _plain(sides, size: int, channels: int, interpolation: str):
  """Returns a function from a cut and its number to [1, size, size, C]."""
  ones = tf.ones_like(sides[:, :, :1])
  ends = tf.concat([ones, sides, ones * channels], axis=2)
  ends = tf.unstack(tf.reshape(ends, [-1, 4]))
  settings = dict(size=[size, size], half_pixel_centers=True)

  def scaled(cut: tf.Tensor, place: int) -> tf.Tensor:
    # The operation reads each pixel several times, and is slower where it reads
    # bytes.
    image = tf.reshape(tf.cast(cut, tf.float32), ends[place])
    image.set_shape([1, None, None, channels])
    return _PLAIN[interpolation](images=image, **settings)

  return scaled


def _antialiased(sides, size: int, channels: int, interpolation: str):
  """As `_plain`.

  The operation is quick down columns, where it works on whole rows, and slow
  along rows. So rows become columns in between.
  """
  sides = tf.reshape(sides, [-1])
  ones = tf.ones_like(sides)
  tall = tf.unstack(tf.stack([ones, sides, ones, -ones], axis=1))
  factors = size / tf.cast(sides, tf.float32)
  factors = tf.unstack(tf.stack([factors, tf.ones_like(factors)], axis=1))

  def shrunk(columns: tf.Tensor, number: int) -> tf.Tensor:
    return tf.raw_ops.ScaleAndTranslate(
      images=tf.reshape(columns, tall[number]),
      size=[size, 1],
      scale=factors[number],
      translation=[0.0, 0.0],
      kernel_type=_ANTIALIASED[interpolation],
      antialias=True,
    )

  def scaled(cut: tf.Tensor, place: int) -> tf.Tensor:
    rows = tf.reshape(shrunk(cut, 2 * place), [size, -1, channels])
    columns = tf.transpose(rows, [1, 0, 2])
    made = to_uint8(shrunk(columns, 2 * place + 1))
    made = tf.reshape(made, [1, size, size, channels])
    return tf.transpose(made, [0, 2, 1, 3])

  return scaled


def _finisher(flips: tf.Tensor, size: int, channels: int):
  """Returns a function from squares, and the number of the first, to uint8.

  It rounds and mirrors them: [n, size, size, C].
  """
  # `reverse` has quick code for the middle of three axes; [1, 1, all] stays.
  mirrored, whole = [size, size, channels], [1, 1, size * size * channels]
  turned = tf.unstack(tf.where(flips[:, None], [mirrored], [whole]))

  def finished(scaled: list[tf.Tensor], first: int) -> tf.Tensor:
    count = len(scaled)
    pixels = tf.concat(scaled, axis=0) if count > 1 else scaled[0]
    if pixels.dtype != tf.uint8:
      pixels = to_uint8(pixels)
    shape = [count, *mirrored]
    if count == 1:
      pixels = tf.reverse(tf.reshape(pixels, turned[first]), [1])
      return tf.reshape(pixels, shape)
    others = tf.reverse(tf.reshape(pixels, [-1, *mirrored[1:]]), [1])
    return tf.raw_ops.Select(
      condition=flips[first : first + count],
      x=tf.reshape(others, shape),
      y=pixels,
    )

  return finished


def to_uint8(pixels: tf.Tensor) -> tf.Tensor:
  """Clips to 0 to 255 and rounds, halves to even, in one pass."""
  quantised = tf.raw_ops.QuantizeV2(
    input=pixels,
    min_range=0.0,
    max_range=255.0,
    T=tf.quint8,
    mode='SCALED',
    round_mode='HALF_TO_EVEN',
  )
  return tf.bitcast(quantised.output, tf.uint8)
