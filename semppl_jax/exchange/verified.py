"""Exports that are compared with their original before they have a name.

A file is written into a folder beside its place, read back, run on images, and
only then renamed: what stands under the name is whole and right.
"""

from collections.abc import Callable
import pathlib
import tempfile
from typing import NamedTuple

import numpy as np

from semppl_jax import config_file
from semppl_jax.exchange import formats, run_data, serve, side_file
from semppl_jax.network import HEADS
from semppl_jax.weights import Weights, WeightsError

_IMAGES = 64
# Few at a time, so that a ResNet-200 (4x) fits a small machine.
_BATCH = 8


class ParityError(Exception):
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
) -> Measured:
  """Writes weights in a format, with a side file `<out>.json`.

  Args:
    weights: what to write.
    format_name: one of `formats.NAMES`.
    out: the file, or directory, to write.
    heads: heads to write with the encoder, and those that they stand on.
    overwrite: replace an earlier export.

  Raises:
    WeightsError: a value that cannot be used; nothing was computed.
    ParityError: the file is not within the tolerance; there is none.
  """
  form = formats.load(format_name)
  heads = serve.carried(weights.network, _checked(weights, heads))
  _check_place(out, overwrite)
  form.check(weights, heads)
  with tempfile.TemporaryDirectory(dir=out.parent, prefix='.export-') as folder:
    partial = pathlib.Path(folder) / out.name
    # Before the file: what reads it back may need the network's settings.
    said = side_file.describe(weights, heads, format_name)
    side_file.write(partial, said)
    form.write(partial, weights, heads)
    images, which = run_data.sample(weights, _IMAGES)
    difference = compare(
      serve.on_host(weights, heads), form.read_back(partial), images
    )
    measured = Measured(difference, form.TOLERANCE, which)
    if not all(x <= form.TOLERANCE for x in difference.values()):
      raise ParityError(
        f'The {format_name} file does not compute what {weights.origin} does:'
        f' {describe(measured)}. No file was left.'
      )
    said['measured'] = measured._asdict()
    side_file.write(partial, said)
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
  """
  apart: dict[str, float] = {}
  largest: dict[str, float] = {}
  for start in range(0, len(images), _BATCH):
    batch = images[start : start + _BATCH]
    want, got = original(batch), written(batch)
    shapes = [{k: np.shape(v) for k, v in x.items()} for x in (want, got)]
    if shapes[0] != shapes[1]:
      raise ParityError(
        f'The file gives outputs of shapes {shapes[1]} and its original'
        f' {shapes[0]}. No file was left.'
      )
    for name, value in want.items():
      # np.maximum keeps what is not a number; max() might not.
      apart[name] = float(
        np.maximum(apart.get(name, 0.0), np.abs(got[name] - value).max())
      )
      largest[name] = max(largest.get(name, 0.0), float(np.abs(value).max()))
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
      near = config_file.nearest(head, HEADS)
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
  there = [x for x in (out, side_file.path_of(out)) if x.exists()]
  if there and not overwrite:
    raise WeightsError(
      f'--out={out}: {there[0]} exists; name another or add --overwrite.'
    )
  # A directory named by mistake would be gone with all that it holds.
  if out.exists() and len(there) < 2:
    raise WeightsError(
      f'--out={out} exists and is no export (it has no'
      f' {side_file.path_of(out).name}); name another.'
    )


def _publish(partial: pathlib.Path, out: pathlib.Path) -> None:
  """Gives a file and its side file their names."""
  if out.is_dir():  # Which no rename replaces.
    out.rename(partial.with_name(f'{out.name}.older'))
  try:
    side_file.path_of(partial).replace(side_file.path_of(out))
    partial.replace(out)
  except BaseException:
    side_file.path_of(out).unlink(missing_ok=True)
    raise
