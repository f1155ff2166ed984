"""Report of a comparison as Markdown: settings, table and notes."""

from collections.abc import Iterator, Mapping, Sequence
import math
from typing import Any

from semppl_jax.runtime import tables

Content = Mapping[str, Any]
_DIGITS = 'three digits'  # Format of figures that depend on the machine.


def page(content: Content, figure: str) -> str:
  """Returns the page; `figure` is the file of the figure."""
  return '\n\n'.join(
    [
      f'# {", ".join(content["methods"])}',
      _settings(content),
      f'![Accuracy against images seen and against time]({figure})',
      table(content),
      '\n'.join(f'- {note}' for note in _notes(content)) + '\n',
    ]
  )


def table(content: Content) -> str:
  """Returns a table of baselines and methods, without unknown figures."""
  rows = {
    **content['floors'],
    **{name: x['figures'] for name, x in content['methods'].items()},
  }
  columns = {
    name: column
    for name, column in _columns(content).items()
    if any(name in figures for figures in rows.values())
  }
  lines = [['', *(title for title, _ in columns.values()), 'seeds']]
  for name, figures in rows.items():
    cells = [
      _cell(figures.get(key), form) for key, (_, form) in columns.items()
    ]
    lines.append([_title(name, content), *cells, _seeds(name, content)])
  return tables.markdown(lines)


def _columns(content: Content) -> dict[str, tuple[str, str]]:
  """Title and format of each figure."""
  few = f'{content["labelled_images"]:,}'
  many = f'{content["train_images_with_label"]:,}'
  return {
    'knn_labelled': (f'k-NN, {few}', '%'),
    'knn_all': (f'k-NN, {many}', '%'),
    'projection_labelled': (f'projections, {few}', '%'),
    'projection_all': (f'projections, {many}', '%'),
    'probe': ('linear probe', '%'),
    'classifier': ('classifier', '%'),
    'images_per_second': ('images/s', ',.0f'),
    'input_wait': ('input wait', '%'),
    'minutes': ('minutes', _DIGITS),
    'step_memory_gib': ('step, GiB', _DIGITS),
  }


def _cell(spread: Content | None, form: str) -> str:
  if spread is None:
    return ''
  scale, form = (100, '.1f') if form == '%' else (1, form)
  if form == _DIGITS:
    form = _three_digits(spread['mean'])
  mean = format(scale * spread['mean'], form)
  interval = format(scale * (spread['interval'] or 0), form)
  # Constant figures, such as memory, have no spread.
  return f'{mean} ± {interval}' if interval.strip('0.') else mean


def _three_digits(mean: float) -> str:
  """Format that shows three digits of a mean, and its spread likewise."""
  size = math.floor(math.log10(abs(mean))) if mean else 0
  return f',.{max(0, 2 - size)}f'


def _title(name: str, content: Content) -> str:
  method = content['methods'].get(name)
  return f'{name} (labels only)' if method and method['labels_only'] else name


def _seeds(name: str, content: Content) -> str:
  method = content['methods'].get(name)
  if method is None:
    first = next(iter(content['floors'][name].values()))
    done = len(first['values'])
  else:
    done = len(method['runs'])
  asked = content['seeds']
  return str(done) if done == asked else f'{done} of {asked}'


def _settings(content: Content) -> str:
  c = content
  equal = (
    'Equal but for the differences below'
    if c['differences']
    else 'Equal for all'
  )
  return (
    f'{equal}: {_length(c)} in batches of {c["batch_size"]:,} images,'
    f' {c["views"]} views of each; {c["network"]}; {c["data"]} with'
    f' {c["train_images"]:,} images of {c["classes"]:,} classes,'
    f' {c["labelled_images"]:,} of them labelled, and {c["test_images"]:,} test'
    f' images; on {c["devices"]}.'
  )


def _length(content: Content) -> str:
  """The budget, and the steps of each method where it is in minutes."""
  methods = content['methods']
  if content['budget'].endswith('steps'):
    steps = int(content['budget'].split()[0])
    return f'{steps:,} steps'
  lengths = [
    f'{m["steps"]:,} steps of {name}'
    for name, m in methods.items()
    if m['steps'] is not None
  ]
  return f'{content["budget"]} of training ({", ".join(lengths)})'


def _notes(content: Content) -> Iterator[str]:
  """Yields the notes that apply, each of a sentence or two."""
  several = content['seeds'] > 1
  over = (
    "means over the seeds ± half of their 95 % interval (Student's t)"
    if several
    else 'of one seed, without an interval'
  )
  yield (
    f'Figures are {over}. Accuracies are top-1 on the test images in %. k-NN'
    f' uses k = {content["knn_k"]}, on the encoder or the projections, among as'
    ' many labelled training images as the column says.'
  )
  yield (
    'Minutes are training time, without evaluation, saving and compilation; the'
    ' input wait is the share of it in % in which the step waited for images.'
    ' GiB is the memory of the compiled step on each device.'
  )
  if content['jobs'] > 1:
    yield (
      f'{content["jobs"]} runs at a time, each on its own share of the CPU'
      ' cores, and all on the same accelerator if there is one: images/s and'
      ' minutes are of such a share.'
    )
  for name, m in content['methods'].items():
    if s := m['support']:
      views = s['views']
      yield (
        f'{name} also gets {s["images_per_class"]:,} labelled images of each of'
        f' {s["classes_per_batch"]:,} classes ({views} view{"s" * (views > 1)}'
        ' of each image) with every batch; the images seen do not include them.'
      )
  if not any(m['labels_only'] for m in content['methods'].values()):
    yield (
      'No method learns from the labels only: the accuracy of this baseline is'
      ' unknown.'
    )
  for x in content['differences']:
    yield f'Allowed difference: {_difference(x)}.'
  if any(x['field'] == 'data.labelled_per_batch' for x in content['own']):
    yield (
      'The linear probe learns from the labelled rows of each batch, whose'
      ' number differs between the methods; compare by k-NN.'
    )
  yield from _machine_notes(content)
  if content['own']:
    own = '; '.join(_difference(x) for x in content['own'])
    yield f'Differences between the configs: {own}.'
  for name, m in content['methods'].items():
    for seed, reason in m['failures'].items():
      yield f'**{name}, seed {seed}, failed:** {" ".join(reason.split())}'


def _machine_notes(content: Content) -> Iterator[str]:
  """Notes on runs with other devices or versions than the rest."""
  runs = {
    f'{name}, seed {seed}': run['summary']
    for name, m in content['methods'].items()
    for seed, run in m['runs'].items()
  }
  for title, read in {
    'devices': lambda summary: summary['devices'],
    'versions': _versions,
  }.items():
    values = _by_value({name: read(summary) for name, summary in runs.items()})
    if len(values) > 1:
      yield f'**The runs differ in their {title}:** {_listed(values)}.'


def _versions(summary: Content) -> str:
  return ' '.join(f'{name} {x}' for name, x in summary['versions'].items())


def _difference(x: Content) -> str:
  values = {name: repr(value) for name, value in x['values'].items()}
  return f'`{x["field"]}` {_listed(_by_value(values))}'


def _by_value(values: Mapping[str, str]) -> dict[str, list[str]]:
  """Names by their value."""
  names: dict[str, list[str]] = {}
  for name, value in values.items():
    names.setdefault(value, []).append(name)
  return names


def _listed(values: Mapping[str, Sequence[str]]) -> str:
  """The most frequent value, and the others with their names."""
  usual = max(values, key=lambda value: len(values[value]))
  others = [
    f'{value} of {", ".join(names)}'
    for value, names in values.items()
    if value != usual
  ]
  if len(values[usual]) == 1:
    return f'{usual} of {values[usual][0]}, {", ".join(others)}'
  return f'{usual}, but {", ".join(others)}'
