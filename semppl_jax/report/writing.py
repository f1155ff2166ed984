"""Puts the sections of some runs together and writes the page."""

from collections.abc import Callable, Iterator, Sequence
import logging
import os

from etils import epath
import numpy as np

from semppl_jax import errors
from semppl_jax.report import (
  alike,
  course as course_lib,
  learning,
  material as material_lib,
  page,
  particulars,
  pseudo,
  sight,
  space,
  timing,
)
from semppl_jax.report.blocks import Block, Heading, Note, Section
from semppl_jax.report.course import Course
from semppl_jax.report.material import Embedder, Material, MaterialError

_log = logging.getLogger(__name__)
FILE = 'report.html'
# Runs whose images and features are shown: the page stays small.
_DETAILED = 4
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
    course.CourseError: a directory is no run.
    OSError: the page cannot be written.
  """
  path = epath.Path(out).expanduser()
  text = make(course_lib.read_all(places), pictures=pictures)
  temporary = path.parent / f'{path.name}.tmp'
  temporary.write_text(text)
  temporary.replace(path)
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
  sections = [
    learning.section(courses),
    pseudo.section(courses, detailed),
    Section('sight', 'What does it see?', [], seen),
    Section('alike', 'What does it think is alike?', [], alike_),
    Section(
      'space',
      'How is the space?',
      space.answer(courses),
      [*space.deviations(courses), *maps],
    ),
    timing.section(courses),
    particulars.section(courses),
  ]
  names = [course.name for course in courses]
  title = names[0] if len(names) == 1 else f'{len(names)} runs'
  return page.render(
    f'{title}: what was learned', sections, particulars.page_data(courses)
  )


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
    for part, own in zip(parts, _looks_at(course), strict=True):
      if named:
        part.append(Heading(course.name))
      part += own
  return parts


def _looks_at(
  course: Course,
) -> tuple[list[Block], list[Block], list[Block]]:
  """The same for one run; what cannot be shown is a note."""
  try:
    material = material_lib.load(course)
  except MaterialError as error:
    note = Note(str(error))
    return [note], [note], [note]
  seen = _guarded(lambda: sight.blocks(material))
  neighbours = _guarded(lambda: alike.of_queue(course, material))
  try:
    embedder = Embedder(material, material_lib.weights(course))
  except MaterialError as error:
    note = Note(str(error))
    return seen, [*neighbours, note], [note]
  maps = _guarded(lambda: _maps(material, embedder))
  neighbours += _guarded(lambda: _neighbours(material, embedder))
  return seen, neighbours, maps


def _maps(material: Material, embedder: Embedder) -> Iterator[Block]:
  train = material.splits.train
  found = embedder.sample(train, np.arange(train.size))
  if found is None:
    yield Note('None of the train images that were drawn can be read.')
    return
  yield from space.maps(material, found)


def _neighbours(material: Material, embedder: Embedder) -> Iterator[Block]:
  test = material.splits.test
  if test is None:
    yield Note('There is no test set whose nearest images could be shown.')
    return
  queries = embedder.sample(test, np.arange(test.size))
  support = embedder.sample(material.splits.train, material.subset.index)
  if queries is None or support is None:
    yield Note('No test image, or no labelled image, can be read.')
    return
  yield from alike.of_features(material, queries, support)


def _guarded(make_blocks: Callable[[], Iterator[Block]]) -> list[Block]:
  """Blocks, or a note where the data or a library fails on the way.

  A page with one part less is better than none at the end of a long run.
  """
  try:
    return [*make_blocks()]
  except Exception as error:
    _log.exception('A part of the report could not be made:')
    return [Note(f'This part could not be made: {errors.first_line(error)}')]
