"""What exactly ran? Config, differences, hashes, versions, devices."""

from collections.abc import Iterator, Mapping, Sequence
import json
from typing import Any

from semppl_jax.config import loading
from semppl_jax.report import compared, formatting
from semppl_jax.report.components import Block, Note, Section, Table
from semppl_jax.report.run_record import Course

# Columns of a table that still can be read; other runs are left out of it.
QUESTION = 'What exactly ran?'
_COLUMNS = 8


def section(courses: Sequence[Course]) -> Section:
  """Facts of every run, and where their configs differ."""
  if len(courses) == 1:
    (course,) = courses
    answers = [
      f'{course.method} on {course.facts.get("data_name", "its data")}, in'
      f' {course.path}.'
    ]
  else:
    answers = [f'{len(courses)} runs; where they differ is below.']
  problems = [
    Note(f'{course.name}: {text}')
    for course in courses
    for text in course.problems
  ]
  return Section(
    'particulars',
    QUESTION,
    answers,
    [*problems, *_facts(courses), *_configs(courses)],
  )


def _facts(courses: Sequence[Course]) -> Iterator[Block]:
  shown = courses[:_COLUMNS]
  columns = [_facts_of(course) for course in shown]
  names = list(dict.fromkeys(name for column in columns for name in column))
  yield Table(
    'Data, labels, machine',
    ('', *(course.name for course in shown)),
    [(name, *(column.get(name, '-') for column in columns)) for name in names],
    'Equal hashes are equal images, labels and label subsets.',
  )
  if len(courses) > len(shown):
    yield Note(
      f'The first {len(shown)} of {len(courses)} runs; the data of this page, a'
      ' script element at its end, has all of them.'
    )


def _facts_of(course: Course) -> dict[str, str]:
  facts = course.facts
  starts = [x for x in facts.get('starts', ()) if isinstance(x, dict)] or [{}]
  start = starts[-1]
  summary = course.summary or {}

  def count(name: str) -> str:
    value = facts.get(name)
    return f'{value:,}' if isinstance(value, int) else '-'

  rows = {
    'directory': str(course.path),
    'method': course.method,
    'train images': count('train_images'),
    'labelled images': count('labelled_images'),
    'test images': count('test_images'),
    'classes': f'{len(course.class_names):,}' if course.class_names else '-',
    'data': _hash(facts.get('data')),
    'test data': _hash(facts.get('test_data')),
    'label subset': _hash(facts.get('label_subset')),
    'saliency masks': _hash(facts.get('masks')),
    'steps': f'{course.step:,} of {count("total_steps")}',
    'images per step': f'{course.batch_size:,}',
    'devices': str(start.get('devices', '-')),
    'begun': str(starts[0].get('time', '-')),
    'newest start': str(start.get('time', '-')),
    'starts': str(len(facts.get('starts', ())) or '-'),
    'finished': str(summary.get('finished', 'not yet')),
  }
  memory = summary.get('device_peak_gib') or summary.get('step_memory_gib')
  if isinstance(memory, int | float):
    rows['memory of a device'] = f'{memory:.2f} GiB'
  return rows | {
    name: str(version)
    for name, version in (start.get('versions') or {}).items()
  }


def _hash(value: Any) -> str:
  return str(value)[:16] if value else '-'


def _configs(courses: Sequence[Course]) -> Iterator[Block]:
  having = [course for course in courses if course.fields]
  if not having:
    yield Note('There is no config.json to show.')
    return
  base = loading.to_flat_dict(loading.base())
  if len(having) == 1:
    fields = having[0].fields
    other = {n: v for n, v in fields.items() if base.get(n) != v}
    yield Table(
      'Fields that are not those of configs/base.py',
      ('field', 'this run', 'configs/base.py'),
      [(n, _value(v), _value(base.get(n))) for n, v in sorted(other.items())],
    )
  else:
    yield _differences(having)
  for course in having[: compared.NAMED]:
    yield Table(
      f'Whole config of {course.name}',
      ('field', 'value'),
      [(name, _value(x)) for name, x in sorted(course.fields.items())],
      folded=True,
    )


def _differences(courses: Sequence[Course]) -> Block:
  every = sorted({name for course in courses for name in course.fields})
  differ = [
    name
    for name in every
    if len({_value(c.fields.get(name)) for c in courses}) > 1
  ]
  if not differ:
    return Note('The configs of these runs are equal in every field.')
  shown = courses[:_COLUMNS]
  return Table(
    'Fields that differ between the runs',
    ('field', *(course.name for course in shown)),
    [(n, *(_value(c.fields.get(n)) for c in shown)) for n in differ],
    f'{formatting.count(len(differ), "field")} of {len(every)}.'
    + (f' The first {len(shown)} runs.' if len(courses) > len(shown) else ''),
  )


def _value(value: Any) -> str:
  return '-' if value is None else json.dumps(value, ensure_ascii=False)


def page_data(courses: Sequence[Course]) -> Mapping[str, Any]:
  """Config and facts of every run, as JSON holds them."""
  return {
    c.name: {'config': dict(c.fields), 'facts': _without_classes(c.facts)}
    for c in courses
  }


def _without_classes(facts: Mapping[str, Any]) -> dict[str, Any]:
  long = ('class_names', 'labelled_per_class')
  return {name: value for name, value in facts.items() if name not in long}
