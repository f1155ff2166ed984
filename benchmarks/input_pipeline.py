"""Times the host's views, and the same views with Pillow.

  python benchmarks/input_pipeline.py --data_dir=DIR --out=runs/input.json

DIR is a folder of photographs, a folder for each class. Rows make the paper's
4 x 224 + 2 x 96 views of each image, or of crops='device' a canvas for the
devices to cut them from, on one core. The pipeline's own rows are those that
training has, with batching and unreadable images. Two cores are measured as
well, in turn with one. Prints a Markdown table.
"""

import json
import os
import pathlib
import sys
import tempfile

from absl import app, flags
import input_rows

from semppl_jax.runtime import subprocesses
from semppl_jax.runtime.tables import markdown

_CORES = 'SEMPPL_JAX_BENCHMARK_CORES'
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'A folder of images for each class.', required=True
)
_OUT = flags.DEFINE_string('out', None, 'JSON file to write the figures to.')
_SECONDS = flags.DEFINE_float(
  'seconds', 10.0, 'Of each measurement, at least.', 0.0
)
_REPEATS = flags.DEFINE_integer(
  'repeats', 3, 'Measurements of each row, in turn; the shortest counts.', 1
)
_NAMES = flags.DEFINE_multi_enum(
  'row', [*input_rows.ROWS], [*input_rows.ROWS], 'Which to measure; repeat it.'
)


def main(_) -> None:
  """Measures on one core and on two, and prints the table."""
  if _CORES in os.environ:
    assert _OUT.value
    # Before TensorFlow and JAX start their threads.
    everywhere = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, everywhere[: int(os.environ[_CORES])])
    measured = input_rows.measure(
      _NAMES.value,
      _DATA_DIR.value,
      int(os.environ[_CORES]),
      _SECONDS.value,
    )
    pathlib.Path(_OUT.value).write_text(json.dumps(measured))
    return
  plan = {'one core': (1, _NAMES.value)}
  parallel = [x for x in input_rows.PARALLEL if x in _NAMES.value]
  if len(os.sched_getaffinity(0)) > 1 and parallel:
    plan['two cores'] = (2, parallel)
  turns = [
    {name: _on(*what) for name, what in plan.items()}
    for _ in range(_REPEATS.value)
  ]
  figures = {
    name: {row: min(turn[name][row] for turn in turns) for row in rows}
    for name, (_, rows) in plan.items()
  }
  print(table(figures))
  if _OUT.value:
    out = pathlib.Path(_OUT.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=2) + '\n')


def _on(cores: int, rows: list[str]) -> dict[str, float]:
  """Milliseconds per image of each row, in a process that has so many cores."""
  with tempfile.TemporaryDirectory() as folder:
    out = f'{folder}/figures.json'
    command = [
      sys.executable,
      *(sys.argv[0], f'--data_dir={_DATA_DIR.value}', f'--out={out}'),
      f'--seconds={_SECONDS.value}',
      *(f'--row={row}' for row in rows),
    ]
    finished = subprocesses.run(command, env={_CORES: str(cores)})
    if finished.status:
      raise RuntimeError(finished.last_error())
    return json.loads(pathlib.Path(out).read_text())


def table(figures: dict[str, dict[str, float]]) -> str:
  """Returns a Markdown table of milliseconds per image, and their ratios.

  Args:
    figures: milliseconds by 'one core' and 'two cores', and by row.
  """
  one, two = figures['one core'], figures.get('two cores', {})
  alone, pillow = one.get(input_rows.ALONE), one.get(input_rows.PILLOW)
  lines = [['', 'ms', 'of the decode', 'of Pillow', 'two cores are']]
  for name, ms in one.items():
    lines.append(
      [
        name,
        f'{ms:.2f}',
        f'{ms / alone:.2f}' if alone else '',
        f'{ms / pillow:.2f}' if pillow else '',
        f'{ms / two[name]:.2f} times faster' if name in two else '',
      ]
    )
  return markdown(lines)


if __name__ == '__main__':
  app.run(main)
