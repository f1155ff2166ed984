"""Shared part of the commands `select` and `predict`: flags and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
import csv
import io
import os
import pathlib
from typing import NamedTuple, TYPE_CHECKING

from absl import flags

from semppl_jax.config import loading
from semppl_jax.labelling import contact_sheet
from semppl_jax.runtime import files
from semppl_jax.runtime.errors import InputError

if TYPE_CHECKING:
  from semppl_jax.data.dataset import Dataset
  from semppl_jax.labelling.model import Model


class Flags(NamedTuple):
  """Values of the flags that both commands have."""

  checkpoint: str | None
  images: str | None
  out: str | None
  labels_file: str | None


def define_flags() -> Callable[[], Flags]:
  """Defines the flags; returns a function to their values."""
  holders = (
    flags.DEFINE_string(
      'checkpoint', None, 'A run, imported weights, or a file of weights.'
    ),
    flags.DEFINE_string('images', None, 'The folder of images.'),
    flags.DEFINE_string('out', None, 'The CSV to write.'),
    flags.DEFINE_string(
      'labels_file', '', 'Labels of some of the images (csv, txt or json).'
    ),
  )
  return lambda: Flags(*(holder.value for holder in holders))


class Work(NamedTuple):
  """What the flags name.

  Attributes:
    out: the CSV to write; it does not exist yet.
    model: the network.
    data: the images of the folder, of which none is read yet.
  """

  out: pathlib.Path
  model: Model
  data: Dataset

  @property
  def sheet(self) -> pathlib.Path:
    """The contact sheet beside the CSV."""
    return pathlib.Path(f'{self.out}.png')

  def write(
    self,
    table: Iterable[Sequence[object]],
    captions: Sequence[tuple[int, str]],
  ) -> None:
    """Writes the CSV and its contact sheet.

    Args:
      table: the rows, that of the names first.
      captions: row of the data and caption of each image to show.
    """
    stream = io.StringIO()
    csv.writer(stream, lineterminator='\n').writerows(table)
    files.write_text(self.out, stream.getvalue())
    images = self.model.crops(self.data, [row for row, _ in captions])
    contact_sheet.write(
      str(self.sheet),
      images,
      [
        (row, f'{text}\n{os.path.basename(str(self.data.ids[row]))}')
        for row, text in captions
      ],
    )


def open_work(given: Flags) -> Work:
  """Opens what the flags name.

  Raises:
    InputError: a flag is missing, or names what cannot be used; the file to
      write exists, as labels that were filled in by hand would be lost.
  """
  from semppl_jax.labelling import model as model_lib

  checkpoint, images, out, labels_file = given
  if not (checkpoint and images and out):
    raise loading.ConfigError(
      '--checkpoint, --images and --out are needed, as in'
      ' --checkpoint=RUN --images=FOLDER --out=labels.csv.'
    )
  file = files.output_file(out)
  if file.exists():
    raise InputError(f'--out={out} exists; name another file.')
  model = model_lib.load(checkpoint)
  data = model.list_folder(os.path.expanduser(images), labels_file or '')
  return Work(file, model, data)
