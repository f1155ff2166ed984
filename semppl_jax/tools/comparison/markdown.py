"""The results as a page of Markdown: the terms, the table and its notes."""

from collections.abc import Mapping
import math
from typing import Any

from semppl_jax.runtime import tables
from semppl_jax.tools.comparison import notes

Content = Mapping[str, Any]
_DIGITS = 'three digits'  # Of figures whose size depends on the machine.


def page(content: Content, figure: str) -> str:
  """The whole page; `figure` is the file of the figure."""
  return '\n\n'.join(
    [
      f'# {", ".join(content["methods"])}',
      _terms(content),
      f'![Accuracy against images seen and against time]({figure})',
      table(content),
      '\n'.join(f'- {note}' for note in notes.of(content)) + '\n',
    ]
  )


def table(content: Content) -> str:
  """Floors and methods, a column for each figure that is known of any."""
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


def _cell(spread: Mapping[str, Any] | None, form: str) -> str:
  if spread is None:
    return ''
  scale, form = (100, '.1f') if form == '%' else (1, form)
  if form == _DIGITS:
    form = _three_digits(spread['mean'])
  mean = format(scale * spread['mean'], form)
  interval = format(scale * (spread['interval'] or 0), form)
  # Of what is the same in every run, such as memory, there is no spread.
  return f'{mean} ± {interval}' if interval.strip('0.') else mean


def _three_digits(mean: float) -> str:
  """The format that shows three digits of a mean, for its spread as well."""
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


def _terms(content: Content) -> str:
  c = content
  terms = (
    'On terms that differ, see below' if c['differences'] else 'On equal terms'
  )
  return (
    f'{terms}: {_length(c)} in batches of {c["batch_size"]:,} images,'
    f' {c["views"]} views of each; {c["network"]}; {c["data"]} with'
    f' {c["train_images"]:,} images of {c["classes"]:,} classes,'
    f' {c["labelled_images"]:,} of them labelled, and {c["test_images"]:,} test'
    f' images; on {c["devices"]}.'
  )


def _length(content: Content) -> str:
  """The budget, and the steps where these are not the budget."""
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
