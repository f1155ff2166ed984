"""The tf.data graph: one element per step, every array of it decoded."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.canvas import Canvas
from semppl_jax.data import canvases, crops, decode, streams
from semppl_jax.data.layout import block_size, Share, Stream
from semppl_jax.data.mask_pixels import decode_mask
from semppl_jax.data.mask_stream import with_masks
from semppl_jax.data.masks import Masks
from semppl_jax.data.sources.files import FileSource
from semppl_jax.data.sources.records import parse
from semppl_jax.data.support import SupportRows
from semppl_jax.data.support_stream import support_blocks
from semppl_jax.data.tf_runtime import repeatable, tf, worker_count

# Images are numbered below it, so that slots draw numbers of their own.
_FIRST_SLOT = 2**31


class Rows(NamedTuple):
  """What n rows of the batch are made of.

  Attributes:
    crops: their views, or the images whole where the devices cut them.
    masked: whether each image has a mask that is not blank, bool [n], or ()
      where no view is masked.
  """

  crops: crops.Crops | Canvas
  masked: tf.Tensor | tuple[()]


def train_steps(
  config: ConfigDict,
  source: Any,
  parts: list[tuple[Stream, Share]],
  start_step: int,
  support: SupportRows | None = None,
  masks: Masks | None = None,
) -> Iterator[Any]:
  """Yields for each part the `Decoded` `Rows` of its blocks of a step.

  Args:
    config: the whole config.
    source: what reads the images.
    parts: the streams of the batch, and what this process makes of them.
    start_step: the first step.
    support: a last part of large crops alone, numbered by slots.
    masks: those that stand in for masks in the records, or None. None at all
      are read where `config.saliency.probability` is 0.

  Raises:
    ValueError: on the way, a file that cannot be read at random.
  """
  cut = _make_cut(config)
  failures: list[Exception] = []
  if not config.saliency.probability:
    masks = None
  if masks is not None or not config.saliency.probability:
    source = source.without_masks()
  has_masks = masks is not None or source.has_masks

  def rows(opened, index, step):
    images, masks, masked = opened
    return Rows(cut(images, masks, index, step), masked)

  def blocks(stream, share):
    raws = streams.stream_blocks(
      source,
      stream,
      share.blocks,
      seed=config.seed,
      start_step=start_step,
      shuffle_gib=config.data.shuffle_gib,
    )
    if masks is None:
      return raws
    return with_masks(raws, masks, len(share.blocks), failures)

  decoded = [
    _decoded(
      config,
      source,
      blocks(stream, share),
      _opener(source, has_masks),
      rows,
      stream.block,
      len(share.blocks),
    )
    for stream, share in parts
  ]
  if support is not None:
    decoded.append(
      _decoded(
        config,
        source,
        support_blocks(source, support, start_step, failures),
        _opener(source),
        _support_rows(config),
        support.stream.block,
        len(support.share.blocks),
      )
    )
  # One batch ahead, so that decoding goes on while the last one is copied.
  steps = tf.data.Dataset.zip(tuple(decoded)).prefetch(1)
  return _arrays(repeatable(steps, config.data.threads), failures)


def _make_cut(config: ConfigDict) -> Callable[..., crops.Crops | Canvas]:
  """Builds `(images, masks, index, step)` to what rows show of n images."""
  if config.data.crops == 'device':
    size = tuple(config.data.canvas)
    return lambda images, masks, index, step: _canvases(images, masks, size)
  views = crops.make_views(config.views)

  def cut(images, masks, index, step):
    numbers = crops.draw(config.seed, step, index, sum(views.counts))
    return crops.random_crops(images, masks, numbers, views)

  return cut


def _canvases(
  images: Sequence[tf.Tensor],
  masks: Sequence[tf.Tensor],
  size: tuple[int, int],
) -> Canvas:
  pairs = zip(images, masks or [None] * len(images), strict=True)
  placed = [canvases.place(image, mask, size) for image, mask in pairs]
  return tf.nest.map_structure(lambda *x: tf.stack(x), *placed)


def _support_rows(config: ConfigDict) -> decode.RowsFn:
  made = crops.make_views(config.views)
  count = config.support.views
  views = made._replace(
    counts=(count, 0),
    area=made.area[:1] * count,
    aspect=made.aspect[:1] * count,
  )

  def rows(opened, slot, step):
    images, *_ = opened
    if config.data.crops == 'device':
      return _canvases(images, (), tuple(config.data.canvas))
    # By the slot: an image that stands in two of them is not cut alike.
    example = tf.cast(slot, tf.int64) + _FIRST_SLOT
    numbers = crops.draw(config.seed, step, example, count)
    return crops.random_crops(images, (), numbers, views).large

  return rows


def _arrays(steps: tf.data.Dataset, failures: list[Exception]) -> Iterator[Any]:
  """Yields NumPy arrays; an error of Python's is raised as it was."""
  try:
    yield from steps.as_numpy_iterator()
  except tf.errors.OpError as error:
    if failures:
      raise failures[0] from error
    raise


def eval_steps(
  config: ConfigDict, source: Any, indices: np.ndarray, rows: int
) -> tf.data.Dataset:
  """Elements: the `Decoded` centre crops of `rows` images.

  Args:
    config: the whole config.
    source: what reads the images.
    indices: ascending positions, then -1 up to a multiple of `rows`.
    rows: images in an element.
  """

  def centres(opened, index, step):
    del index, step
    return crops.centre_crops(
      opened[0],
      config.eval.resize,
      config.eval.crop,
      config.views.interpolation,
    )

  block = block_size(rows)
  raws = streams.listed_blocks(source, indices, block)
  steps = _decoded(
    config, source, raws, _opener(source), centres, block, rows // block
  )
  return repeatable(steps.prefetch(1), config.data.threads)


def _decoded(
  config: ConfigDict,
  source: Any,
  raws: tf.data.Dataset,
  open_images: decode.OpenFn,
  rows: decode.RowsFn,
  block: int,
  blocks: int,
) -> tf.data.Dataset:
  def unpack(stored):
    if isinstance(stored, tuple):  # With its mask, of a store.
      return unpack(stored[0])[0], stored[1]
    if isinstance(source, FileSource):
      return stored, tf.zeros_like(stored)
    return parse(stored, source.keys)

  return decode.decode_blocks(
    raws,
    open_images,
    rows,
    block=block,
    blocks=blocks,
    threads=worker_count(config.data.threads),
    unpack=unpack,
  )


def _opener(source: Any, has_masks: bool = False) -> decode.OpenFn:
  """Decodes n images, and their masks and whether those are any."""

  def open_images(content, mask, index, step):
    del index, step
    images = tuple(
      decode.decode_image(_open(source, each)) for each in tf.unstack(content)
    )
    if not has_masks:
      return images, (), ()
    masks, masked = zip(*map(decode_mask, tf.unstack(mask)), strict=True)
    return images, masks, tf.stack(masked)

  return open_images


def _open(source: Any, content: tf.Tensor) -> tf.Tensor:
  """Image bytes: those of the file, or the content itself."""
  if not isinstance(source, FileSource):
    return content
  # Padding has no path: it fails to decode, without a warning about a file.
  return tf.cond(
    tf.equal(content, ''), lambda: content, lambda: tf.io.read_file(content)
  )
