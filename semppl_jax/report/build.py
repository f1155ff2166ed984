"""HTML page of some runs: self-contained, without scripts.

Texts from users, such as names of classes and files, are escaped by the
template.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import functools
import json
import logging
import math
import os
import pathlib
import time
import types

from etils import epath
import numpy as np

from semppl_jax import __version__
from semppl_jax.report import (
  accuracy,
  augmented_views,
  embeddings,
  neighbors,
  provenance,
  pseudo_labels,
  run_inputs as run_inputs_lib,
  run_record as run_record_lib,
  timing,
)
from semppl_jax.report.components import Block, Figure, Heading, Note, Section
from semppl_jax.report.run_inputs import Embedder, RunInputs, RunInputsError
from semppl_jax.report.run_record import RunRecord
from semppl_jax.runtime import errors
from semppl_jax.runtime.files import atomic_write

_log = logging.getLogger(__name__)
FILE = 'report.html'
_HERE = pathlib.Path(__file__).parent
# Runs whose images and features are shown: the page stays small.
_MAX_DETAILED = 4
_NO_PICTURES = (
  'This page was made without images and features; python -m semppl_jax.report'
  ' RUN makes one with them.'
)
# Time of the features of all runs together.
_SECONDS = 30.0


def write(
  directories: Sequence[str | os.PathLike[str]],
  out: str | os.PathLike[str],
  *,
  pictures: bool = True,
) -> epath.Path:
  """Writes the page of some runs atomically and returns its path.

  Args:
    directories: directories of the runs.
    out: the HTML file.
    pictures: True to read data and checkpoints of the runs, too.

  Raises:
    run_record.RunRecordError: a directory is not a run directory.
    OSError: the page cannot be written, which is tried first.
  """
  path = epath.Path(out).expanduser()
  runs = run_record_lib.read_all(directories, _MAX_DETAILED)
  with atomic_write(path) as temporary:
    temporary.write_text('')  # Fails early.
    temporary.write_text(page(runs, pictures=pictures))
  return path


def page(runs: Sequence[RunRecord], *, pictures: bool = True) -> str:
  """Returns the page of some runs as HTML; see `write`."""
  detailed = runs[:_MAX_DETAILED]
  views, similar, maps = _detailed_blocks(detailed, len(runs) > 1, pictures)
  if len(runs) > len(detailed):
    note = Note(
      f'Of the first {len(detailed)} runs; the other'
      f' {len(runs) - len(detailed)} have pages of their own: python -m'
      ' semppl_jax.report RUN.'
    )
    for blocks in (views, similar, maps):
      blocks.append(note)
  space = _section('space', 'How are the embeddings spread?', embeddings, runs)
  space.blocks.extend(maps)
  sections = [
    _section('learning', 'Is it learning?', accuracy, runs),
    _section(
      'pseudo', 'Are the pseudo-labels correct?', pseudo_labels, runs, detailed
    ),
    Section('sight', 'Which views does the network get?', [], views),
    Section('alike', 'Which images are similar to it?', [], similar),
    space,
    _section('time', 'Where did the time go?', timing, runs),
    _section('particulars', 'What was run?', provenance, runs),
  ]
  title = runs[0].name if len(runs) == 1 else f'{len(runs)} runs'
  return _html(f'{title}: training report', sections, runs)


def _section(
  key: str, question: str, module: types.ModuleType, *runs: Sequence[RunRecord]
) -> Section:
  """Returns the section of a module, or a note where a file is invalid."""
  try:
    answers, blocks = module.answers(*runs), [*module.blocks(*runs)]
    return Section(key, question, answers, blocks)
  except Exception as error:
    return Section(key, question, [], [_failure(error)])


def _detailed_blocks(
  runs: Sequence[RunRecord], named: bool, pictures: bool
) -> tuple[list[Block], list[Block], list[Block]]:
  """Returns the blocks of three sections that need data and network."""
  sections: tuple[list[Block], list[Block], list[Block]] = ([], [], [])
  if not pictures:
    for section in sections:
      section.append(Note(_NO_PICTURES))
    return sections
  for run in runs:
    parts = _run_blocks(run, _SECONDS / len(runs))
    for section, blocks in zip(sections, parts, strict=True):
      if named:
        section.append(Heading(run.name))
      section += blocks
  return sections


def _run_blocks(
  run: RunRecord, seconds: float
) -> tuple[list[Block], list[Block], list[Block]]:
  """Returns views, similar images and maps of a run, or notes."""
  inputs = functools.cache(lambda: run_inputs_lib.load(run))
  embedder = functools.cache(
    lambda: Embedder(inputs(), run_inputs_lib.weights(run))
  )
  views = _guarded(lambda: augmented_views.blocks(inputs()))
  votes = _guarded(lambda: neighbors.queue_votes(run, inputs()))
  nearest = _guarded(lambda: _neighbors(inputs(), embedder(), seconds / 3))
  maps = _guarded(lambda: _maps(inputs(), embedder(), seconds / 3))
  return views, votes + [x for x in nearest if x not in votes], maps


def _maps(
  inputs: RunInputs, embedder: Embedder, seconds: float
) -> Iterator[Block]:
  train = inputs.splits.train
  features = embedder.sample(train, np.arange(train.size), seconds)
  if features is None:
    yield Note('No train image of the sample can be read.')
    return
  yield from embeddings.maps(inputs, features)


def _neighbors(
  inputs: RunInputs, embedder: Embedder, seconds: float
) -> Iterator[Block]:
  train, test = inputs.splits
  if test is None:
    yield Note('There is no test set, so there are no nearest images to show.')
    return
  queries = embedder.sample(test, np.arange(test.size), seconds)
  support = embedder.sample(train, inputs.subset.index, seconds)
  if queries is None or support is None:
    yield Note('No test image, or no labelled image, can be read.')
    return
  yield from neighbors.nearest_labelled(inputs, queries, support)


def _guarded(make: Callable[[], Iterable[Block]]) -> list[Block]:
  """Returns blocks, or a note where the data or a library fails."""
  try:
    return [*make()]
  except RunInputsError as error:
    return [Note(str(error))]
  except Exception as error:
    return [_failure(error)]


def _failure(error: Exception) -> Note:
  """Logs an error; at the end of a long run, a page without a part helps."""
  _log.error('A part of the report failed:', exc_info=error)
  return Note(f'This part failed: {errors.first_line(error)}')


def _html(
  title: str, sections: Sequence[Section], runs: Sequence[RunRecord]
) -> str:
  import jinja2
  from markupsafe import Markup

  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.filters['kind'] = lambda block: type(block).__name__
  return environment.get_template('page.html').render(
    title=title,
    sections=sections,
    style=Markup((_HERE / 'page.css').read_text()),
    svg=Markup,
    data=Markup(_data(sections, provenance.page_data(runs))),
    made=time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime()),
    version=__version__,
  )


def _data(sections: Sequence[Section], runs: Mapping[str, object]) -> str:
  """Returns data of figures and runs as JSON that ends no script element."""
  figures = {section.key: _figures(section) for section in sections}
  content = {'figures': {k: x for k, x in figures.items() if x}, 'runs': runs}
  text = json.dumps(_finite(content), separators=(',', ':'), allow_nan=False)
  return text.replace('<', '\\u003c').replace('&', '\\u0026')


def _finite(tree: object) -> object:
  """Replaces numbers that JSON does not have by None."""
  if isinstance(tree, Mapping):
    return {str(key): _finite(value) for key, value in tree.items()}
  if isinstance(tree, list | tuple):
    return [_finite(value) for value in tree]
  return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def _figures(section: Section) -> dict[str, object]:
  """Returns the data of each figure by run, if named, and title."""
  figures: dict[str, object] = {}
  prefix = ''
  for block in section.blocks:
    if isinstance(block, Heading):
      prefix = f'{block.text}: '
    elif isinstance(block, Figure):
      figures[prefix + block.title] = block.data
  return figures
