"""The tf.data graph of a step: index streams, read, decode, crop, batch.

`streams` reads blocks of encoded images, `decode` decodes a block, `views`
makes its rows with `random_resized_crop` and `crop_resize`; here the blocks of
a step are joined.
"""

from collections.abc import Callable, Iterator
import functools
import os
from typing import Any, NamedTuple

from jaxtyping import PyTree
from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data.batch import Canvas
from semppl_jax.data.batch_layout import block_size, Share, Stream
from semppl_jax.data.masks import MaskIndex
from semppl_jax.data.sources.folder import FileSource
from semppl_jax.data.sources.tfrecord_tf import parse
from semppl_jax.data.support_set import SupportRows
from semppl_jax.data.tf import decode, streams, views
from semppl_jax.data.tf.crop_resize import image_sizes
from semppl_jax.data.tf.masks import add_masks, decode_mask
from semppl_jax.data.tf.random_resized_crop import center_crops, Crops
from semppl_jax.data.tf.runtime import tf

STAGES = ('read', 'decode', 'crops')


class Rows(NamedTuple):
  """Content of n rows of the batch.

  Attributes:
    views: crops, or whole images for the device to crop.
    masked: True for an image with a mask that is not blank, bool [n]; ()
      where no view is masked.
  """

  views: Crops | Canvas
  masked: tf.Tensor | tuple[()]


class _Images(NamedTuple):
  """n decoded images.

  Attributes:
    images: [height, width, 3] each, uint8.
    sizes: height and width before they were scaled, int32 [n, 2], or ().
    masks: [h, w, 1] each, uint8, or ().
    masked: True for a mask that is not blank, bool [n], or ().
  """

  images: tuple[tf.Tensor, ...]
  sizes: tf.Tensor | tuple[()]
  masks: tuple[tf.Tensor, ...]
  masked: tf.Tensor | tuple[()]


# No function here has Python's `if` or `for` over tensors, and AutoGraph's
# search for them takes most of the time to the first batch.
@tf.autograph.experimental.do_not_convert
def train_steps(
  config: ConfigDict,
  source: streams.Source,
  parts: list[tuple[Stream, Share]],
  start_step: int,
  support: SupportRows | None = None,
  masks: MaskIndex | None = None,
  until: str = 'crops',
) -> Iterator[Any]:
  """Yields a `DecodedBlock` of `Rows` for each part of each step.

  Args:
    config: the whole config.
    source: reader of the images.
    parts: streams of the batch, and what this process loads of them.
    start_step: the first step.
    support: support rows, a last part of views alone, numbered by slot.
    masks: a mask store, used instead of masks in the records. No mask is read
      where `config.saliency.probability` is 0.
    until: last stage of `STAGES` to run, for benchmarks; before `'crops'`, rows
      are the sizes of what was read or decoded.

  Raises:
    ValueError: while iterating, a file that cannot be read at random.
  """
  assert until in STAGES
  failures: list[Exception] = []
  if not config.saliency.probability:
    masks = None
  if masks is not None or not config.saliency.probability:
    source = source.without_masks()
  has_masks = masks is not None or source.has_masks
  load = functools.partial(_load, config, source)
  loaded = []
  for stream, share in parts:
    blocks = streams.train_blocks(
      source,
      stream,
      share.blocks,
      seed=config.seed,
      start_step=start_step,
      shuffle_gib=config.data.shuffle_gib,
    )
    if masks is not None:
      blocks = add_masks(blocks, masks, len(share.blocks), failures)
    maker = views.batch_views(config)
    functions = _stage(until, config, source, maker, has_masks, Rows)
    loaded.append(load(blocks, *functions, stream.block, len(share.blocks)))
  if support is not None:
    blocks = streams.support_blocks(source, support, start_step, failures)
    functions = _stage(until, config, source, views.support_views(config))
    count = len(support.share.blocks)
    loaded.append(load(blocks, *functions, support.stream.block, count))
  # One batch ahead, so that decoding goes on while the last one is copied.
  steps = tf.data.Dataset.zip(tuple(loaded)).prefetch(1)
  return _arrays(deterministic(steps, config.data.threads), failures)


def _arrays(steps: tf.data.Dataset, failures: list[Exception]) -> Iterator[Any]:
  """Yields NumPy arrays; raises an error of Python code unchanged."""
  try:
    yield from steps.as_numpy_iterator()
  except tf.errors.OpError as error:
    if failures:
      raise failures[0] from error
    raise


@tf.autograph.experimental.do_not_convert
def eval_steps(
  config: ConfigDict, source: streams.Source, indices: np.ndarray, rows: int
) -> Iterator[Any]:
  """Yields a `DecodedBlock` with the center crops of `rows` images.

  `indices` are ascending positions, then -1 up to a multiple of `rows`.
  """

  def crop(decoded, index, step):
    del index, step
    resize, size = config.eval.resize, config.eval.crop
    interpolation = config.views.interpolation
    return center_crops(decoded.images, resize, size, interpolation)

  block = block_size(rows)
  blocks = streams.eval_blocks(source, indices, block)
  decode_images = _decoder(config, source)
  steps = _load(
    config, source, blocks, decode_images, crop, block, rows // block
  )
  steps = deterministic(steps.prefetch(1), config.data.threads)
  return steps.as_numpy_iterator()


def _load(
  config: ConfigDict,
  source: streams.Source,
  blocks: tf.data.Dataset,
  decode_images: decode.DecodeFn,
  make_rows: decode.RowsFn,
  block: int,
  count: int,
) -> tf.data.Dataset:
  """Decodes blocks of `block` images in parallel and joins `count` of them."""

  def load(stored, index, step):
    content, mask = _unpack(source, stored)
    content, mask, index = (
      tf.ensure_shape(x, [block]) for x in (content, mask, index)
    )
    encoded = decode.EncodedBlock(content, mask, index, step)
    return decode.decode_block(encoded, decode_images, make_rows)

  loaded = blocks.map(
    load, num_parallel_calls=worker_count(config.data.threads)
  )
  return loaded.batch(count, drop_remainder=True).map(
    lambda blocks: decode.flatten_blocks(blocks, count * block)
  )


def _unpack(source: streams.Source, stored) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns paths or image bytes [n], and mask bytes [n]."""
  if isinstance(stored, tuple):  # With its mask, from a store.
    return _unpack(source, stored[0])[0], stored[1]
  if isinstance(source, FileSource):
    return stored, tf.zeros_like(stored)
  return parse(stored, source.keys)


def _stage(
  until: str,
  config: ConfigDict,
  source: streams.Source,
  maker: views.ViewMaker,
  has_masks: bool = False,
  pack: Callable[..., PyTree] = lambda views, masked: views,
) -> tuple[decode.DecodeFn, decode.RowsFn]:
  """Returns the functions that decode images and make rows, up to a stage."""
  if until == 'read':

    def byte_counts(content, *_):
      contents = [_content(source, each) for each in tf.unstack(content)]
      return tf.strings.length(tf.stack(contents))

    return byte_counts, lambda sizes, *_: sizes
  decode_images = _decoder(config, source, maker, has_masks)
  if until == 'decode':
    return decode_images, lambda decoded, *_: tuple(
      image_sizes(x) for x in (decoded.images, decoded.masks) if x
    )

  def make_rows(decoded, index, step):
    sizes = None if isinstance(decoded.sizes, tuple) else decoded.sizes
    made = maker.rows(decoded.images, decoded.masks, sizes, index, step)
    return pack(made, decoded.masked)

  return decode_images, make_rows


def _decoder(
  config: ConfigDict,
  source: streams.Source,
  maker: views.ViewMaker | None = None,
  has_masks: bool = False,
) -> decode.DecodeFn:
  """Returns a decoder of n images, as small as views allow, and their masks."""
  scaled = maker if maker and config.data.scaled_decoding else None

  def decode_images(content, mask, index, step):
    contents = [_content(source, each) for each in tf.unstack(content)]
    if scaled is not None:
      limit = scaled.shrink_limit
      images, sizes = decode.decode_all(
        contents, lambda sizes: limit(sizes, index, step)
      )
    else:
      images, sizes = tuple(map(decode.decode_image, contents)), ()
    if not has_masks:
      return _Images(images, sizes, (), ())
    masks, masked = zip(*map(decode_mask, tf.unstack(mask)), strict=True)
    return _Images(images, sizes, masks, tf.stack(masked))

  return decode_images


def _content(source: streams.Source, content: tf.Tensor) -> tf.Tensor:
  """Returns image bytes: those of the file, or the content itself."""
  if not isinstance(source, FileSource):
    return content
  # Padding has no path: it fails to decode, without a warning about a file.
  no_path = tf.equal(content, '') | tf.equal(content, decode.BLACK)
  return tf.cond(no_path, lambda: content, lambda: tf.io.read_file(content))


def deterministic(dataset: tf.data.Dataset, threads: int) -> tf.data.Dataset:
  """Returns `dataset` with ordered elements and a private thread pool.

  Args:
    dataset: any dataset.
    threads: size of the pool, 0 for all cores.
  """
  options = tf.data.Options()
  options.deterministic = True
  # No setting is left to autotune, and its thread, which sleeps for ever longer
  # periods, can delay the end of a stream.
  options.autotune.enabled = False
  options.threading.private_threadpool_size = worker_count(threads)
  options.threading.max_intra_op_parallelism = 1
  return dataset.with_options(options)


def worker_count(threads: int) -> int:
  """Returns the number of workers for `config.data.threads` (0: all cores)."""
  return threads or os.cpu_count() or 1
