"""Puts the sections of some runs together and writes the page."""

from collections.abc import Callable, Iterator, Sequence
import logging
import os

from etils import epath
import numpy as np

from semppl_jax.report import (
  accuracy,
  augmented_views,
  embeddings,
  neighbors,
  page,
  provenance,
  pseudo_labels,
  run_inputs as run_inputs_lib,
  run_record as run_record_lib,
  timing,
)
from semppl_jax.report.components import Block, Heading, Note, Section
from semppl_jax.report.run_inputs import Embedder, Material, MaterialError
from semppl_jax.report.run_record import Course
from semppl_jax.runtime import errors
from semppl_jax.runtime.files import atomic_write

_log = logging.getLogger(__name__)
FILE = 'report.html'
# Runs whose images and features are shown: the page stays small.
_DETAILED = 4
# Of making features, for all of them together.
_SECONDS = 30.0
_FILES_ALONE = (
  'Images and features are left out, as this page was made of the files of the'
  ' run alone.'
)


def write(
  places: Sequence[str | os.PathLike[str]],
  out: str | os.PathLike[str],
  *,
  pictures: bool = True,
) -> epath.Path:
  """Writes the page of some runs, whole or not at all, and returns its path.

  Args:
    places: directories of the runs.
    out: the HTML file.
    pictures: whether to look at data and network of the runs, too.

  Raises:
    run_record.CourseError: a directory is no run.
    OSError: the page cannot be written, which is tried first.
  """
  path = epath.Path(out).expanduser()
  courses = run_record_lib.read_all(places, _DETAILED)
  with atomic_write(path) as temporary:
    temporary.write_text('')  # Fails early where nothing can be written.
    temporary.write_text(make(courses, pictures=pictures))
  return path


def make(courses: Sequence[Course], *, pictures: bool = True) -> str:
  """Returns the page of some runs as HTML; see `write`."""
  detailed = courses[:_DETAILED]
  seen, alike_, maps = _looks(detailed, len(courses) > 1, pictures)
  rest = len(courses) - len(detailed)
  if rest:
    note = Note(
      f'Of the first {len(detailed)} runs; the other {rest} have pages of their'
      ' own: python -m semppl_jax.report RUN.'
    )
    for blocks in (seen, alike_, maps):
      blocks.append(note)
  space_question = 'How is the space?'
  sections = [
    _section('learning', accuracy.QUESTION, lambda: accuracy.section(courses)),
    _section(
      'pseudo',
      pseudo_labels.QUESTION,
      lambda: pseudo_labels.section(courses, detailed),
    ),
    Section('sight', 'What does it see?', [], seen),
    Section('alike', 'What does it think is alike?', [], alike_),
    _section(
      'space',
      space_question,
      lambda: Section(
        'space',
        space_question,
        embeddings.answer(courses),
        [*embeddings.deviations(courses), *maps],
      ),
    ),
    _section('time', timing.QUESTION, lambda: timing.section(courses)),
    _section(
      'particulars',
      provenance.QUESTION,
      lambda: provenance.section(courses),
    ),
  ]
  names = [course.name for course in courses]
  title = names[0] if len(names) == 1 else f'{len(names)} runs'
  return page.render(
    f'{title}: what was learned', sections, provenance.page_data(courses)
  )


def _section(key: str, question: str, made: Callable[[], Section]) -> Section:
  """A section, or a note in its place where a file holds what it should not."""
  try:
    return made()
  except Exception as error:
    return Section(key, question, [], [_failed(error)])


def _looks(
  courses: Sequence[Course], named: bool, pictures: bool
) -> tuple[list[Block], list[Block], list[Block]]:
  """Blocks of what needs the data and the network, for three sections."""
  parts: tuple[list[Block], list[Block], list[Block]] = ([], [], [])
  if not pictures:
    for part in parts:
      part.append(Note(_FILES_ALONE))
    return parts
  for course in courses:
    looks = _looks_at(course, _SECONDS / len(courses))
    for part, own in zip(parts, looks, strict=True):
      if named:
        part.append(Heading(course.name))
      part += own
  return parts


def _looks_at(
  course: Course, seconds: float
) -> tuple[list[Block], list[Block], list[Block]]:
  """The same for one run; what cannot be shown is a note."""
  try:
    material = run_inputs_lib.load(course)
  except MaterialError as error:
    note = Note(str(error))
    return [note], [note], [note]
  seen = _guarded(lambda: augmented_views.blocks(material))
  neighbours = _guarded(lambda: neighbors.of_queue(course, material))
  try:
    weights = run_inputs_lib.weights(course)
  except MaterialError as error:
    note = Note(str(error))
    return seen, [*neighbours, note], [note]
  made: list[Embedder] = []

  def embedder() -> Embedder:
    if not made:
      made.append(Embedder(material, weights))
    return made[0]

  maps = _guarded(lambda: _maps(material, embedder(), seconds / 3))
  neighbours += _guarded(lambda: _neighbours(material, embedder(), seconds / 3))
  return seen, neighbours, maps


def _maps(
  material: Material, embedder: Embedder, seconds: float
) -> Iterator[Block]:
  train = material.splits.train
  found = embedder.sample(train, np.arange(train.size), seconds)
  if found is None:
    yield Note('None of the train images that were drawn can be read.')
    return
  yield from embeddings.maps(material, found)


def _neighbours(
  material: Material, embedder: Embedder, seconds: float
) -> Iterator[Block]:
  train, test = material.splits
  if test is None:
    yield Note('There is no test set whose nearest images could be shown.')
    return
  queries = embedder.sample(test, np.arange(test.size), seconds)
  support = embedder.sample(train, material.subset.index, seconds)
  if queries is None or support is None:
    yield Note('No test image, or no labelled image, can be read.')
    return
  yield from neighbors.of_features(material, queries, support)


def _guarded(make_blocks: Callable[[], Iterator[Block]]) -> list[Block]:
  """Blocks, or a note where the data or a library fails on the way."""
  try:
    return [*make_blocks()]
  except Exception as error:
    return [_failed(error)]


def _failed(error: Exception) -> Note:
  """A page with one part less is better than none at the end of a long run."""
  _log.error('A part of the report could not be made:', exc_info=error)
  return Note(f'This part could not be made: {errors.first_line(error)}')
