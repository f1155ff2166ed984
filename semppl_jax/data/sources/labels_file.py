"""Labels files: a label for each listed image.

The extension selects one of three formats: `.csv` (path, label; with or
without a header), `.txt` (a path, white space, a label) and `.json` (an object
from path to label, or a list of pairs or of objects whose first two values are
path and label). Paths are relative to the image folder. An empty label means
unlabelled.
"""

from collections.abc import Iterable
import csv
import json
import os
import posixpath
from typing import TextIO
import unicodedata

from semppl_jax.runtime.errors import raise_if_any

_Rows = list[tuple[str, str]]
IMAGE_EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.gif')


def is_image(path: str) -> bool:
  """Returns True if the extension of a file is that of an image."""
  return path.lower().endswith(IMAGE_EXTENSIONS)


def read_labels(file: str, listed: Iterable[str]) -> dict[str, str]:
  """Returns the label of each path in the file.

  Args:
    file: a `.csv`, `.txt` or `.json` file.
    listed: relative paths of the images on disk, with `/`.

  Raises:
    ValueError: the file cannot be read; or it has paths of missing images,
      repeated paths or fewer than two classes, all of them in one message.
  """
  where = f'config.data.labels_file={file!r}'
  rows = _read_rows(file, where)
  labels: dict[str, str] = {}
  duplicates, conflicts = [], []
  # The same accent may be one character here and two on the disk.
  composed = {_composed(path): path for path in listed}
  for path, label in rows:
    path = composed.get(_composed(path), path)
    if path not in labels:
      labels[path] = label
    else:
      (duplicates if labels[path] == label else conflicts).append(path)
  present = set(composed.values())
  absent = [path for path in labels if path not in present]
  labels = {path: label for path, label in labels.items() if label}
  classes = sorted(set(labels.values()))
  raise_if_any(
    {
      'path(s) without an image': absent,
      'repeated row(s)': duplicates,
      'path(s) with conflicting labels': conflicts,
      'class(es), at least 2 needed': classes if len(classes) < 2 else [],
    },
    where,
    *([] if classes else ['no labels']),
  )
  return labels


def class_order(labels: Iterable[str]) -> tuple[str, ...]:
  """Returns the distinct labels, by value if all are numbers, else by name."""
  distinct = set(labels)
  if all(label.isdecimal() for label in distinct):
    return tuple(sorted(distinct, key=lambda label: (int(label), label)))
  return tuple(sorted(distinct))


def _read_rows(file: str, where: str) -> _Rows:
  readers = {'.csv': _csv_rows, '.txt': _txt_rows, '.json': _json_rows}
  extension = os.path.splitext(file)[1].lower()
  if extension not in readers:
    raise ValueError(f'{where} must end in .csv, .txt or .json.')
  try:
    # utf-8-sig: spreadsheets begin a csv with a byte-order mark, which would
    # become part of the first path.
    with open(file, encoding='utf-8-sig', newline='') as stream:
      rows = readers[extension](stream)
  except OSError as error:
    raise ValueError(f'{where} cannot be read: {error.strerror}.') from error
  except (ValueError, csv.Error) as error:
    raise ValueError(
      f'{where} is not a {extension} file of paths and labels: {error}.'
    ) from error
  return [(_normalize(path), label.strip()) for path, label in rows]


def _composed(path: str) -> str:
  return unicodedata.normalize('NFC', path)


def _normalize(path: str) -> str:
  return posixpath.normpath(path.strip().replace('\\', '/'))


def _csv_rows(stream: TextIO) -> _Rows:
  cells = [
    (line, row) for line, row in enumerate(csv.reader(stream), 1) if any(row)
  ]
  # As many as in the first row: a comma within a label would cut it short.
  for line, row in cells:
    if len(row) > len(cells[0][1]):
      raise ValueError(
        f'row {line} has {len(row)} cells and the first {len(cells[0][1])}; a '
        'label with a comma needs quotes'
      )
  rows = [_pair(row, line) for line, row in cells]
  # The first line is a header if it has no image.
  return rows[1:] if rows and not is_image(rows[0][0].strip()) else rows


def _txt_rows(stream: TextIO) -> _Rows:
  lines = [line.strip() for line in stream]
  # From the right: a path may hold spaces, a label here may not.
  return [
    _pair(line.rsplit(None, 1), number)
    for number, line in enumerate(lines, 1)
    if line
  ]


def _json_rows(stream: TextIO) -> _Rows:
  # Pairs, not dict: a repeated path must be seen twice.
  content = json.load(stream, object_pairs_hook=_Object)
  if isinstance(content, _Object):
    return [_pair(pair, number) for number, pair in enumerate(content, 1)]
  if not isinstance(content, list):
    raise ValueError('neither an object nor a list')
  return [
    _pair([v for _, v in row] if isinstance(row, _Object) else row, number)
    for number, row in enumerate(content, 1)
  ]


class _Object(list):
  """A JSON object as its list of pairs."""


def _pair(row: object, number: int) -> tuple[str, str]:
  if isinstance(row, list | tuple) and len(row) >= 2:
    path, label = row[:2]
    if (
      isinstance(path, str)
      and isinstance(label, str | int)
      and not isinstance(label, bool)
    ):
      return path, str(label)
  raise ValueError(f'row {number} has no path and label: {row!r}')
