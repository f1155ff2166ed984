"""Section on provenance: config, differences, hashes, versions, devices."""

from collections.abc import Iterator, Mapping, Sequence
import json

from semppl_jax.config import loading
from semppl_jax.report import formatting, plots
from semppl_jax.report.components import Block, Note, Table
from semppl_jax.report.run_record import RunRecord

# More columns cannot be read.
_MAX_COLUMNS = 8
_VERBOSE = ('class_names', 'labelled_per_class')


def answers(runs: Sequence[RunRecord]) -> list[str]:
  """Returns one sentence."""
  if len(runs) > 1:
    return [f'{len(runs)} runs; their differences are below.']
  (run,) = runs
  data = run.metadata.get('data_name', 'its data')
  return [f'{run.method} on {data}, in {run.path}.']


def blocks(runs: Sequence[RunRecord]) -> Iterator[Block]:
  """Yields damaged files, metadata, and configs with their differences."""
  for run in runs:
    yield from (Note(f'{run.name}: {text}') for text in run.problems)
  yield from _metadata(runs)
  yield from _configs(runs)


def _metadata(runs: Sequence[RunRecord]) -> Iterator[Block]:
  shown = runs[:_MAX_COLUMNS]
  columns = [_metadata_rows(run) for run in shown]
  names = list(dict.fromkeys(name for column in columns for name in column))
  yield Table(
    'Data, labels, machine',
    ('', *(run.name for run in shown)),
    [(name, *(column.get(name, '-') for column in columns)) for name in names],
    'Equal hashes mean equal images, labels and label subsets.',
  )
  if len(runs) > len(shown):
    yield Note(
      f'The first {len(shown)} of {len(runs)} runs; the script element at the'
      ' end of this page has the data of all of them.'
    )


def _metadata_rows(run: RunRecord) -> dict[str, str]:
  metadata, summary = run.metadata, run.summary or {}
  starts = [x for x in metadata.get('starts', ()) if isinstance(x, dict)]
  first, newest = (starts[0], starts[-1]) if starts else ({}, {})

  def count(name: str) -> str:
    value = metadata.get(name)
    return f'{value:,}' if isinstance(value, int) else '-'

  def digest(name: str) -> str:
    return str(metadata.get(name) or '-')[:16]

  rows = {
    'directory': str(run.path),
    'method': run.method,
    'train images': count('train_images'),
    'labelled images': count('labelled_images'),
    'test images': count('test_images'),
    'classes': f'{len(run.class_names):,}' if run.class_names else '-',
    'data': digest('data'),
    'test data': digest('test_data'),
    'label subset': digest('label_subset'),
    'saliency masks': digest('masks'),
    'steps': f'{run.step:,} of {count("total_steps")}',
    'images per step': f'{run.batch_size:,}',
    'devices': str(newest.get('devices', '-')),
    'first start': str(first.get('time', '-')),
    'newest start': str(newest.get('time', '-')),
    'starts': str(len(metadata.get('starts', ())) or '-'),
    'finished': str(summary.get('finished', 'not yet')),
  }
  memory = summary.get('device_peak_gib') or summary.get('step_memory_gib')
  if isinstance(memory, int | float):
    rows['memory per device'] = f'{memory:.2f} GiB'
  versions = newest.get('versions') or {}
  return rows | {name: str(version) for name, version in versions.items()}


def _configs(runs: Sequence[RunRecord]) -> Iterator[Block]:
  having = [run for run in runs if run.flat_config]
  if not having:
    yield Note('There is no config.json to show.')
    return
  base = loading.to_flat_dict(loading.base())
  if len(having) == 1:
    fields = having[0].flat_config
    changed = {n: v for n, v in fields.items() if base.get(n) != v}
    yield Table(
      'Fields that differ from configs/base.py',
      ('field', 'this run', 'configs/base.py'),
      [(n, _json(v), _json(base.get(n))) for n, v in sorted(changed.items())],
    )
  else:
    yield _differences(having)
  for run in having[: plots.MAX_NAMED]:
    yield Table(
      f'Whole config of {run.name}',
      ('field', 'value'),
      [(name, _json(x)) for name, x in sorted(run.flat_config.items())],
      folded=True,
    )


def _differences(runs: Sequence[RunRecord]) -> Block:
  names = sorted({name for run in runs for name in run.flat_config})
  differ = [
    name
    for name in names
    if len({_json(run.flat_config.get(name)) for run in runs}) > 1
  ]
  if not differ:
    return Note('The configs of these runs are equal.')
  shown = runs[:_MAX_COLUMNS]
  return Table(
    'Fields that differ between the runs',
    ('field', *(run.name for run in shown)),
    [(n, *(_json(run.flat_config.get(n)) for run in shown)) for n in differ],
    f'{formatting.count(len(differ), "field")} of {len(names)}.'
    + (f' The first {len(shown)} runs.' if len(runs) > len(shown) else ''),
  )


def _json(value: object) -> str:
  return '-' if value is None else json.dumps(value, ensure_ascii=False)


def page_data(runs: Sequence[RunRecord]) -> Mapping[str, object]:
  """Returns config and metadata of every run, for the data of the page."""
  return {
    run.name: {
      'config': run.flat_config,
      'facts': {k: v for k, v in run.metadata.items() if k not in _VERBOSE},
    }
    for run in runs
  }
