"""The tf.data graph: one element per step, every array of it decoded."""

from collections.abc import Callable, Iterator
import functools
from typing import Any, NamedTuple

from ml_collections import ConfigDict
import numpy as np

from semppl_jax.data.batch_layout import block_size, Share, Stream
from semppl_jax.data.canvas import Canvas
from semppl_jax.data.masks import Masks
from semppl_jax.data.sources.files import FileSource
from semppl_jax.data.sources.tfrecord_tf import parse
from semppl_jax.data.support_set import SupportRows
from semppl_jax.data.tf import (
  decode,
  random_resized_crop,
  scaled_decode,
  streams,
  views,
)
from semppl_jax.data.tf.crop_resize import shapes
from semppl_jax.data.tf.mask_stream import with_masks
from semppl_jax.data.tf.masks import decode_mask
from semppl_jax.data.tf.runtime import repeatable, tf, worker_count
from semppl_jax.data.tf.support_stream import support_blocks

STAGES = ('read', 'decode', 'crops')


class Rows(NamedTuple):
  """What n rows of the batch are made of.

  Attributes:
    crops: their views, or the images whole where the devices cut them.
    masked: whether each image has a mask that is not blank, bool [n], or ()
      where no view is masked.
  """

  crops: random_resized_crop.Crops | Canvas
  masked: tf.Tensor | tuple[()]


class _Opened(NamedTuple):
  """Images that were decoded, n of them.

  Attributes:
    images: [height, width, 3] each, uint8.
    sizes: height and width before they were scaled, int32 [n, 2], or ().
    masks: [h, w, 1] each, uint8, or ().
    masked: whether each mask is not blank, bool [n], or ().
  """

  images: tuple[tf.Tensor, ...]
  sizes: tf.Tensor | tuple[()]
  masks: tuple[tf.Tensor, ...]
  masked: tf.Tensor | tuple[()]


# No function here has Python's `if` or `for` over tensors, and looking for them
# takes most of the time to the first batch.
@tf.autograph.experimental.do_not_convert
def train_steps(
  config: ConfigDict,
  source: Any,
  parts: list[tuple[Stream, Share]],
  start_step: int,
  support: SupportRows | None = None,
  masks: Masks | None = None,
  until: str = 'crops',
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
    until: a stage of `STAGES` after which to stop, to measure by; rows before
      `'crops'` are the sizes of what there is.

  Raises:
    ValueError: on the way, a file that cannot be read at random.
  """
  assert until in STAGES
  cutter = views.of_images(config)
  failures: list[Exception] = []
  if not config.saliency.probability:
    masks = None
  if masks is not None or not config.saliency.probability:
    source = source.without_masks()
  has_masks = masks is not None or source.has_masks

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
      *_making(until, config, source, cutter, has_masks, Rows),
      stream.block,
      len(share.blocks),
    )
    for stream, share in parts
  ]
  if support is not None:
    supports = views.of_support(config)
    decoded.append(
      _decoded(
        config,
        source,
        support_blocks(source, support, start_step, failures),
        *_making(until, config, source, supports),
        support.stream.block,
        len(support.share.blocks),
      )
    )
  # One batch ahead, so that decoding goes on while the last one is copied.
  steps = tf.data.Dataset.zip(tuple(decoded)).prefetch(1)
  return _arrays(repeatable(steps, config.data.threads), failures)


def _arrays(steps: tf.data.Dataset, failures: list[Exception]) -> Iterator[Any]:
  """Yields NumPy arrays; an error of Python's is raised as it was."""
  try:
    yield from steps.as_numpy_iterator()
  except tf.errors.OpError as error:
    if failures:
      raise failures[0] from error
    raise


@tf.autograph.experimental.do_not_convert
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
    return random_resized_crop.centre_crops(
      opened.images,
      config.eval.resize,
      config.eval.crop,
      config.views.interpolation,
    )

  block = block_size(rows)
  raws = streams.listed_blocks(source, indices, block)
  steps = _decoded(
    config, source, raws, _opener(config, source), centres, block, rows // block
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


def _opener(
  config: ConfigDict,
  source: Any,
  cutter: views.Cutter | None = None,
  has_masks: bool = False,
) -> decode.OpenFn:
  """Decodes n images, as small as `cutter` allows, and their masks."""
  scaler = cutter if cutter and config.data.scaled_decoding else None

  def open_images(content, mask, index, step):
    contents = [_open(source, each) for each in tf.unstack(content)]
    if scaler:
      spare = functools.partial(scaler.spare, index=index, step=step)
      images, sizes = scaled_decode.decode_all(contents, spare)
    else:
      images, sizes = tuple(map(decode.decode_image, contents)), ()
    if not has_masks:
      return _Opened(images, sizes, (), ())
    masks, masked = zip(*map(decode_mask, tf.unstack(mask)), strict=True)
    return _Opened(images, sizes, masks, tf.stack(masked))

  return open_images


def _making(
  until: str,
  config: ConfigDict,
  source: Any,
  cutter: views.Cutter,
  has_masks: bool = False,
  row: Callable[[Any, Any], Any] = lambda cut, masked: cut,
) -> tuple[decode.OpenFn, decode.RowsFn]:
  """What opens images, and what makes rows of them, up to a stage."""
  opener = _opener(config, source, cutter, has_masks)
  if until == 'read':
    return functools.partial(_sizes_of_bytes, source), lambda sizes, *_: sizes
  if until == 'decode':
    return opener, lambda opened, *_: _sizes(opened)

  def rows(opened, index, step):
    return row(_cut(cutter, opened, index, step), opened.masked)

  return opener, rows


def _sizes(opened: _Opened) -> tuple[tf.Tensor, ...]:
  return tuple(shapes(x) for x in (opened.images, opened.masks) if x)


def _sizes_of_bytes(source, content, *_) -> tf.Tensor:
  contents = [_open(source, each) for each in tf.unstack(content)]
  return tf.strings.length(tf.stack(contents))


def _cut(
  cutter: views.Cutter, opened: _Opened, index: tf.Tensor, step: tf.Tensor
) -> Any:
  sizes = None if isinstance(opened.sizes, tuple) else opened.sizes
  return cutter.cut(opened.images, opened.masks, sizes, index, step)


def _open(source: Any, content: tf.Tensor) -> tf.Tensor:
  """Image bytes: those of the file, or the content itself."""
  if not isinstance(source, FileSource):
    return content
  # Padding has no path: it fails to decode, without a warning about a file.
  no_path = tf.equal(content, '') | tf.equal(content, decode.BLACK)
  return tf.cond(no_path, lambda: content, lambda: tf.io.read_file(content))
