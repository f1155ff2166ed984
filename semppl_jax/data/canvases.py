"""Whole images for the step to cut, as TensorFlow graph code.

Images that fit are copied as they are. Those that are larger are scaled down,
antialiased, bilinearly. Upright images lie on their side where the canvas is
wider than high, so that fewer have to be scaled.
"""

from semppl_jax.canvas import Canvas
from semppl_jax.data.tf_runtime import tf


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
  shape = tf.shape(image)[:2]
  turned = (shape[0] > shape[1]) != (size[0] > size[1])
  turned &= size[0] != size[1]
  lain = tf.where(turned, shape[::-1], shape)
  within = tf.constant(size, tf.float32)
  scale = tf.reduce_min(within / tf.cast(lain, tf.float32))
  fitted = tf.cast(tf.round(tf.cast(lain, tf.float32) * scale), tf.int32)
  extent = tf.where(scale < 1, tf.maximum(fitted, 1), lain)

  def lay(pixels: tf.Tensor, channels: int, resize) -> tf.Tensor:
    pixels = tf.cond(
      turned, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels
    )
    pixels = tf.cond(
      tf.reduce_all(tf.equal(tf.shape(pixels)[:2], extent)),
      lambda: pixels,
      lambda: resize(pixels, extent),
    )
    room = tf.constant(size) - extent
    after = tf.concat([room, [0]], axis=0)
    padded = tf.pad(pixels, tf.stack([tf.zeros_like(after), after], axis=1))
    return tf.ensure_shape(padded, [*size, channels])

  return Canvas(
    image=lay(image, 3, _antialiased),
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
  turned = (sizes[:, 0] > sizes[:, 1]) != (size[0] > size[1])
  turned &= size[0] != size[1]
  lain = tf.where(turned[:, None], sizes[:, ::-1], sizes)
  within = tf.constant(size, tf.float32)
  return tf.reduce_max(tf.cast(lain, tf.float32) / within, axis=1)


def _antialiased(pixels: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
  scaled = tf.image.resize(pixels, shape, 'bilinear', antialias=True)
  return tf.cast(tf.round(tf.clip_by_value(scaled, 0.0, 255.0)), tf.uint8)


def _nearest(pixels: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
  return tf.image.resize(pixels, shape, 'nearest')
