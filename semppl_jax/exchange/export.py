"""Exports that are compared with their original before they have a name.

A file is written into a folder beside its place, read back, run on images, and
only then renamed: what stands under the name is whole and right.
"""

from collections.abc import Callable
import pathlib
import tempfile
from typing import NamedTuple

import numpy as np

from semppl_jax.config import loading
from semppl_jax.exchange import formats, inference, metadata, sample_images
from semppl_jax.models.network import HEADS
from semppl_jax.models.weights import Weights, WeightsError
from semppl_jax.runtime.errors import ProgramError

_IMAGES = 64
# Few at a time, so that a ResNet-200 (4x) fits a small machine.
_BATCH = 8


class ParityError(ProgramError):
  """A written file does not compute what its original does."""


class Measured(NamedTuple):
  """How far an exported file is from its original.

  Attributes:
    difference: for each output the largest absolute difference, over the
      largest absolute value of the original's.
    tolerance: most that it may be.
    images: what they were compared on.
  """

  difference: dict[str, float]
  tolerance: float
  images: str


def export(
  weights: Weights,
  format_name: str,
  out: pathlib.Path,
  heads: tuple[str, ...] = (),
  *,
  overwrite: bool = False,
  before_naming: Callable[[], object] = lambda: None,
) -> Measured:
  """Writes weights in a format, with a side file `<out>.json`.

  Args:
    weights: what to write.
    format_name: one of `formats.NAMES`.
    out: the file, or directory, to write.
    heads: heads to write with the encoder, and those that they stand on.
    overwrite: replace an earlier export.
    before_naming: called when the file is right; what it raises leaves none.

  Raises:
    WeightsError: a value that cannot be used; nothing was computed.
    ParityError: the file is not within the tolerance; there is none.
  """
  form = formats.load(format_name)
  heads = inference.carried(weights.network, _checked(weights, heads))
  _check_place(out, overwrite)
  form.check(weights, heads)
  with tempfile.TemporaryDirectory(dir=out.parent, prefix='.export-') as folder:
    partial = pathlib.Path(folder) / out.name
    # Before the file: what reads it back may need the network's settings.
    said = metadata.describe(weights, heads, format_name)
    metadata.write(partial, said)
    form.write(partial, weights, heads)
    images, which = sample_images.sample(weights, _IMAGES)
    difference = compare(
      inference.on_host(weights, heads), form.read_back(partial), images
    )
    measured = Measured(difference, form.TOLERANCE, which)
    if not all(x <= form.TOLERANCE for x in difference.values()):
      raise ParityError(
        f'The {format_name} file does not compute what {weights.origin} does:'
        f' {describe(measured)}. No file was written.'
      )
    said['measured'] = measured._asdict()
    metadata.write(partial, said)
    before_naming()
    _publish(partial, out)
  return measured


def compare(
  original: Callable[[np.ndarray], dict[str, np.ndarray]],
  written: Callable[[np.ndarray], dict[str, np.ndarray]],
  images: np.ndarray,
) -> dict[str, float]:
  """Returns the largest difference of each output, over its largest value.

  Args:
    original: from images [n, H, W, 3] to outputs [n, .].
    written: what must compute the same.
    images: uint8 [n, H, W, 3].

  Raises:
    ParityError: an output or row is missing, or is surplus.
    WeightsError: the original has the same features for all images, with
      which any file might agree.
  """
  first, spread = None, 0.0
  apart: dict[str, float] = {}
  largest: dict[str, float] = {}
  for start in range(0, len(images), _BATCH):
    batch = images[start : start + _BATCH]
    want, got = original(batch), written(batch)
    shapes = [{k: np.shape(v) for k, v in x.items()} for x in (want, got)]
    if shapes[0] != shapes[1]:
      raise ParityError(
        f'The file gives outputs of shapes {shapes[1]} and its original'
        f' {shapes[0]}. No file was written.'
      )
    if 'features' in want:
      first = want['features'][0] if first is None else first
      spread = np.maximum(spread, np.abs(want['features'] - first).max())
    for name, value in want.items():
      # np.maximum keeps what is not a number; max() might not.
      apart[name] = float(
        np.maximum(apart.get(name, 0.0), np.abs(got[name] - value).max())
      )
      largest[name] = max(largest.get(name, 0.0), float(np.abs(value).max()))
  if first is not None and len(images) > 1 and spread == 0:
    raise WeightsError(
      f'The original has the same features for all of {len(images)} images, so'
      ' that a comparison says nothing. No file was written.'
    )
  return {name: apart[name] / (largest[name] or 1.0) for name in apart}


def describe(measured: Measured) -> str:
  """One clause: the differences, the tolerance and the images."""
  each = ', '.join(f'{k} {v:.1e}' for k, v in measured.difference.items())
  return (
    f'largest difference over {measured.images}: {each} of the largest value'
    f' (tolerance {measured.tolerance:.0e})'
  )


def _checked(weights: Weights, heads: tuple[str, ...]) -> tuple[str, ...]:
  """Stops on heads that the weights have not."""
  for head in heads:
    if head not in weights.heads:
      near = loading.nearest(head, HEADS)
      hint = f' Did you mean {near!r}?' if near and near != head else ''
      has = ', '.join(weights.heads) or 'none'
      raise WeightsError(
        f'--heads={",".join(heads)}: {weights.origin} has no {head!r}; its'
        f' heads: {has}.{hint}'
      )
  return heads


def _check_place(out: pathlib.Path, overwrite: bool) -> None:
  if not out.parent.is_dir():
    raise WeightsError(f'--out={out}: {out.parent} is no directory.')
  there = [x for x in (out, metadata.path_of(out)) if _stands(x)]
  if there and not overwrite:
    raise WeightsError(
      f'--out={out}: {there[0]} exists; name another or add --overwrite.'
    )
  # What was named by mistake would be gone with all that it holds.
  if there and not _is_export(out):
    raise WeightsError(
      f'--out={out}: {there[0]} exists and is no export (no'
      f' {metadata.path_of(out).name} says that it was one); name another.'
    )


def _is_export(out: pathlib.Path) -> bool:
  """Whether the side file is one that `export` wrote."""
  try:
    said = metadata.read(out)
  except (OSError, ValueError, RecursionError):
    return False
  measured = said.get('measured') if isinstance(said, dict) else None
  return (
    isinstance(measured, dict)
    and bool(measured.get('difference'))
    and said.get('format') in formats.NAMES
  )


def _stands(path: pathlib.Path) -> bool:
  """Whether there is something, were it a link to nothing."""
  return path.is_symlink() or path.exists()


def _publish(partial: pathlib.Path, out: pathlib.Path) -> None:
  """Gives a file and its side file their names, or leaves what had them."""
  moves = [
    (new, place, partial.with_name(f'{place.name}.older'))
    for new, place in (
      (partial, out),
      (metadata.path_of(partial), metadata.path_of(out)),
    )
  ]
  try:
    for _, place, older in moves:
      if _stands(place):
        place.replace(older)
    for new, place, _ in moves:
      new.replace(place)
  except BaseException:
    # What was moved is seen in the folder: a signal may come at any time.
    for new, place, older in moves:
      if not _stands(new) and _stands(place):
        place.replace(new)
      if _stands(older):
        older.replace(place)
    raise
