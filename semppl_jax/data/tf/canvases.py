"""Whole images for the step to cut, as TensorFlow graph code.

Images that fit are copied as they are. Those that are larger are scaled down:
each pixel is the mean of those it covers. Upright images lie on their side
where the canvas is wider than high, so that fewer have to be scaled.
"""

from semppl_jax.data.canvas import Canvas
from semppl_jax.data.tf.crop_resize import to_uint8
from semppl_jax.data.tf.runtime import tf


def place(
  image: tf.Tensor, mask: tf.Tensor | None, size: tuple[int, int]
) -> Canvas:
  """Places an image, and its mask alike, on a canvas.

  Args:
    image: [height, width, 3], uint8.
    mask: [h, w, 1], uint8 0 or 1, or None. One of another size than the image
      is scaled to it, to the nearest pixel.
    size: height and width of the canvas, H and W.

  Returns:
    Tensors without a leading axis; `mask` is () without one.
  """
  lain, turned = _lain(tf.shape(image)[:2], size)
  within = tf.constant(size, tf.float32)
  scale = tf.reduce_min(within / tf.cast(lain, tf.float32))
  fitted = tf.cast(tf.round(tf.cast(lain, tf.float32) * scale), tf.int32)
  extent = tf.where(scale < 1, tf.maximum(fitted, 1), lain)
  own = tf.where(turned, extent[::-1], extent)

  def lay(pixels: tf.Tensor, channels: int, resize) -> tf.Tensor:
    pixels = tf.cond(
      tf.reduce_all(tf.equal(tf.shape(pixels)[:2], own)),
      lambda: pixels,
      lambda: resize(pixels, own),
    )
    pixels = tf.cond(
      turned, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels
    )
    # A matrix is padded faster.
    rows = tf.reshape(pixels, [extent[0], -1])
    room = (tf.constant(size) - extent) * [1, channels]
    padded = tf.pad(rows, tf.stack([tf.zeros_like(room), room], axis=1))
    return tf.reshape(padded, [*size, channels])

  return Canvas(
    image=lay(image, 3, _area),
    extent=extent,
    mask=() if mask is None else lay(mask, 1, _nearest)[:, :, 0],
    turned=turned,
  )


def spare_pixels(sizes: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
  """How many times more pixels images have along a side than canvases hold.

  Args:
    sizes: height and width of n images, int32 [n, 2].
    size: of the canvas.

  Returns:
    Of the side that is scaled down the most, float32 [n].
  """
  lain, _ = _lain(sizes, size)
  within = tf.constant(size, tf.float32)
  return tf.reduce_max(tf.cast(lain, tf.float32) / within, axis=1)


def _lain(
  sizes: tf.Tensor, size: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
  """Sizes as images lie on the canvas [..., 2], and which are turned [...]."""
  height, width = tf.unstack(sizes, num=2, axis=-1)
  turned = (height > width) != (size[0] > size[1])
  turned &= size[0] != size[1]
  lain = tf.where(tf.expand_dims(turned, -1), tf.reverse(sizes, [-1]), sizes)
  return lain, turned


def _area(pixels: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
  # Quicker than an antialiased kernel, and no pixel is left out either.
  return to_uint8(tf.image.resize(pixels, shape, 'area'))


def _nearest(pixels: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
  return tf.image.resize(pixels, shape, 'nearest')
