"""What a reader of the table must know, as far as it applies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Content = Mapping[str, Any]


def of(content: Content) -> Iterator[str]:
  """Yields a sentence or two for each thing that a reader must know."""
  several = content['seeds'] > 1
  over = (
    "means over the seeds ± half of their 95 % interval (Student's t)"
    if several
    else 'of one seed, without a spread'
  )
  yield (
    f'Figures are {over}. Accuracies are top-1 on the test images in %; of'
    f' k-NN with k = {content["knn_k"]} on the encoder, or on the projections,'
    ' among as many training images as the column says, whose labels it knows.'
  )
  yield (
    'Minutes are of training alone, without evaluating, saving and compiling;'
    ' the input wait is their share in % in which the step waited for images.'
    ' GiB are what the compiled step takes of each device.'
  )
  if content['jobs'] > 1:
    yield (
      f'{content["jobs"]} runs went on side by side, each on its own share of'
      ' the CPU cores, and all on the same accelerator where there is one:'
      ' images/s and minutes are of such a share.'
    )
  for name, m in content['methods'].items():
    if s := m['support']:
      views = s['views']
      yield (
        f'{name} sees {s["images_per_class"]:,} labelled images of each of'
        f' {s["classes_per_batch"]:,} classes ({views} view{"s" * (views > 1)}'
        ' of each image) beside every batch, which do not count among the'
        ' images seen.'
      )
  if not any(m['labels_only'] for m in content['methods'].values()):
    yield 'No method learns from the labels alone: their floor is not known.'
  for x in content['differences']:
    yield f'Let differ: {_difference(x)}.'
  if any(x['field'] == 'data.labelled_per_batch' for x in content['own']):
    yield (
      'The linear probe learns from the labelled rows of each batch, of which'
      ' not all methods have equally many; compare by k-NN.'
    )
  yield from _unlike(content)
  if content['own']:
    own = '; '.join(_difference(x) for x in content['own'])
    yield f"The methods' own: {own}."
  for name, m in content['methods'].items():
    for seed, reason in m['failures'].items():
      yield f'**{name}, seed {seed}, failed:** {" ".join(reason.split())}'


def _unlike(content: Content) -> Iterator[str]:
  """Says where runs were made on other devices or with other versions."""
  runs = {
    f'{name}, seed {seed}': run['summary']
    for name, m in content['methods'].items()
    for seed, run in m['runs'].items()
  }
  for title, read in {
    'on the same devices': lambda summary: summary['devices'],
    'with the same versions': _versions,
  }.items():
    values = _by_value({name: read(summary) for name, summary in runs.items()})
    if len(values) > 1:
      yield f'**Not all runs were made {title}:** {_listed(values)}.'


def _versions(summary: Mapping[str, Any]) -> str:
  return ' '.join(f'{name} {x}' for name, x in summary['versions'].items())


def _difference(x: Mapping[str, Any]) -> str:
  values = {name: repr(value) for name, value in x['values'].items()}
  return f'`{x["field"]}` {_listed(_by_value(values))}'


def _by_value(values: Mapping[str, str]) -> dict[str, list[str]]:
  """Who has each value."""
  found: dict[str, list[str]] = {}
  for name, value in values.items():
    found.setdefault(value, []).append(name)
  return found


def _listed(values: Mapping[str, Sequence[str]]) -> str:
  """The value of the most by itself, the others with their names."""
  usual = max(values, key=lambda value: len(values[value]))
  others = [
    f'{value} of {", ".join(names)}'
    for value, names in values.items()
    if value != usual
  ]
  if len(values[usual]) == 1:
    return f'{usual} of {values[usual][0]}, {", ".join(others)}'
  return f'{usual}, but {", ".join(others)}'
