"""Export of a network, verified against the original before it is named.

The file is written to a temporary folder, read back, run on images, and renamed
last, so that a file under the final name is complete and correct.

A format is a module with the members of `Format`, imported when first used. To
add one, write the module and add it to `_MODULES`.
"""

from collections.abc import Callable
import importlib
import pathlib
import tempfile
from typing import cast, NamedTuple, Protocol

import numpy as np

from semppl_jax.config import loading
from semppl_jax.exchange import inference, metadata, sample_images
from semppl_jax.exchange.inference import HostFn
from semppl_jax.models.network import HEADS
from semppl_jax.models.weights import Weights, WeightsError
from semppl_jax.runtime.errors import ProgramError

_MODULES = {
  'safetensors': 'to_safetensors',
  'deepmind': 'to_deepmind',
  'saved_model': 'to_saved_model',
  'stablehlo': 'to_stablehlo',
  'onnx': 'to_onnx',
  'features': 'to_features',
}
FORMATS = tuple(_MODULES)
_IMAGES = 64
# Small, so that a ResNet-200 (4x) fits in the memory of a small machine.
_BATCH = 8


class Format(Protocol):
  """Interface of the module of a format.

  Attributes:
    TOLERANCE: largest accepted difference of an output of a written file from
      the original, relative to the largest value of that output.
  """

  TOLERANCE: float

  def check(self, weights: Weights, heads: tuple[str, ...]) -> None:
    """Raises WeightsError where the format cannot hold the network exactly."""

  def write(
    self, path: pathlib.Path, weights: Weights, heads: tuple[str, ...]
  ) -> None:
    """Writes a file, or a directory."""

  def read_back(self, path: pathlib.Path) -> HostFn:
    """Returns the function that the file computes."""
    ...


class ParityError(ProgramError):
  """A written file does not compute the same as the original."""


class Parity(NamedTuple):
  """Difference between an exported file and the original.

  Attributes:
    difference: by output, the largest absolute difference relative to the
      largest absolute value of the original.
    tolerance: largest difference that is accepted.
    images: description of the images that were compared.
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
) -> Parity:
  """Writes weights in a format, with metadata in `<out>.json`.

  Args:
    weights: weights to write.
    format_name: one of `FORMATS`.
    out: file or directory to write.
    heads: heads to write with the encoder; heads below them are added.
    overwrite: replace an earlier export.
    before_naming: called before the verified file is renamed; may raise.

  Raises:
    WeightsError: an argument is invalid; nothing was computed.
    ParityError: the file is not within the tolerance; no file was written.
  """
  form = load_format(format_name)
  _check_heads(weights, heads)
  heads = inference.required_heads(weights.network, heads)
  _check_target(out, overwrite)
  form.check(weights, heads)
  with tempfile.TemporaryDirectory(dir=out.parent, prefix='.export-') as folder:
    partial = pathlib.Path(folder) / out.name
    # First, as `read_back` may need it.
    content = metadata.describe(weights, heads, format_name)
    metadata.write(partial, content)
    form.write(partial, weights, heads)
    images, source = sample_images.sample(weights, _IMAGES)
    difference = compare(
      inference.make_host_fn(weights, heads), form.read_back(partial), images
    )
    parity = Parity(difference, form.TOLERANCE, source)
    if not all(x <= form.TOLERANCE for x in difference.values()):
      raise ParityError(
        f'The {format_name} file does not compute the same as {weights.origin}:'
        f' {describe(parity)}. No file was written.'
      )
    content['measured'] = parity._asdict()
    metadata.write(partial, content)
    before_naming()
    _publish(partial, out)
  return parity


def load_format(name: str) -> Format:
  """Returns the format of that name.

  Raises:
    WeightsError: the name is unknown.
  """
  if name not in _MODULES:
    near = loading.nearest(name, FORMATS)
    hint = f'; did you mean {near!r}?' if near else '.'
    raise WeightsError(
      f'--format={name} must be one of {", ".join(FORMATS)}{hint}'
    )
  module = importlib.import_module(f'semppl_jax.exchange.{_MODULES[name]}')
  return cast(Format, module)


def compare(
  original: HostFn, written: HostFn, images: np.ndarray
) -> dict[str, float]:
  """Returns the largest difference of each output, over its largest value.

  Args:
    original: the reference.
    written: the function to compare.
    images: uint8 [n, H, W, 3].

  Raises:
    ParityError: an output or row is missing or surplus.
    WeightsError: the original has the same features for all images, so that
      the comparison would show nothing.
  """
  first, variation = None, 0.0
  difference: dict[str, float] = {}
  largest: dict[str, float] = {}
  for start in range(0, len(images), _BATCH):
    batch = images[start : start + _BATCH]
    want, got = original(batch), written(batch)
    shapes = [{k: np.shape(v) for k, v in x.items()} for x in (want, got)]
    if shapes[0] != shapes[1]:
      raise ParityError(
        f'The file has outputs of shapes {shapes[1]} and the original'
        f' {shapes[0]}. No file was written.'
      )
    if 'features' in want:
      first = want['features'][0] if first is None else first
      variation = np.maximum(variation, np.abs(want['features'] - first).max())
    for name, value in want.items():
      # np.maximum propagates NaN; max() might not.
      difference[name] = float(
        np.maximum(difference.get(name, 0.0), np.abs(got[name] - value).max())
      )
      largest[name] = max(largest.get(name, 0.0), float(np.abs(value).max()))
  if first is not None and len(images) > 1 and variation == 0:
    raise WeightsError(
      f'The original has the same features for all {len(images)} images, so'
      ' that a comparison shows nothing. No file was written.'
    )
  return {k: x / (largest[k] or 1.0) for k, x in difference.items()}


def describe(parity: Parity) -> str:
  """Returns a clause with the differences, the tolerance and the images."""
  each = ', '.join(f'{k} {v:.1e}' for k, v in parity.difference.items())
  return (
    f'largest difference over {parity.images}: {each} of the largest value'
    f' (tolerance {parity.tolerance:.0e})'
  )


def _check_heads(weights: Weights, heads: tuple[str, ...]) -> None:
  for head in heads:
    if head not in weights.heads:
      near = loading.nearest(head, HEADS)
      hint = f' Did you mean {near!r}?' if near and near != head else ''
      has = ', '.join(weights.heads) or 'none'
      raise WeightsError(
        f'--heads={",".join(heads)}: {weights.origin} has no {head!r}; its'
        f' heads: {has}.{hint}'
      )


def _check_target(out: pathlib.Path, overwrite: bool) -> None:
  if not out.parent.is_dir():
    raise WeightsError(f'--out={out}: directory {out.parent} not found.')
  present = [x for x in (out, metadata.path_of(out)) if _exists(x)]
  if present and not overwrite:
    raise WeightsError(
      f'--out={out}: {present[0]} exists; name another or add --overwrite.'
    )
  # A path that was named by mistake would be lost with its content.
  if present and not _is_export(out):
    raise WeightsError(
      f'--out={out}: {present[0]} exists and is not an export (according to'
      f' {metadata.path_of(out).name}); name another.'
    )


def _is_export(out: pathlib.Path) -> bool:
  """Returns True if the metadata beside it was written by `export`."""
  try:
    content = metadata.read(out)
  except (OSError, ValueError, RecursionError):
    return False
  measured = content.get('measured') if isinstance(content, dict) else None
  return (
    isinstance(measured, dict)
    and bool(measured.get('difference'))
    and content.get('format') in FORMATS
  )


def _exists(path: pathlib.Path) -> bool:
  """Returns True also for a broken link."""
  return path.is_symlink() or path.exists()


def _publish(partial: pathlib.Path, out: pathlib.Path) -> None:
  """Renames a file and its metadata, or restores the earlier ones."""
  moves = [
    (new, place, partial.with_name(f'{place.name}.older'))
    for new, place in (
      (partial, out),
      (metadata.path_of(partial), metadata.path_of(out)),
    )
  ]
  try:
    for _, place, older in moves:
      if _exists(place):
        place.replace(older)
    for new, place, _ in moves:
      new.replace(place)
  except BaseException:
    # The folder shows what was moved: a signal may arrive at any time.
    for new, place, older in moves:
      if not _exists(new) and _exists(place):
        place.replace(new)
      if _exists(older):
        older.replace(place)
    raise
