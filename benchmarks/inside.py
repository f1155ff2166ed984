"""Prints how the package is laid out, and the files on the path of a batch.

  python benchmarks/inside.py [--path]

Counts modules, lines, functions, `Any` and docstrings that begin with a
question word. With `--path` it also takes the quick start's first batch and
traces its step, and lists each file of the package in which a function ran.
"""

import argparse
import ast
from collections.abc import Iterator
import pathlib
import re
import statistics
import sys
import threading
from types import FrameType

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_PACKAGE = _ROOT / 'semppl_jax'
_QUESTION = re.compile(r'(What|Whether|How|Where|Which|Who|Why)\b')
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> None:
  """Prints the figures."""
  parser = argparse.ArgumentParser(description='Layout of the package.')
  parser.add_argument(
    '--path', action='store_true', help='list the files on the path of a batch'
  )
  arguments = parser.parse_args()
  for name, value in layout().items():
    print(f'{name:<44}{value}')
  if arguments.path:
    files = path_of_a_batch()
    print(f'{"files on the path of a batch":<44}{len(files)}')
    for file in files:
      print(f'  {file}')


def layout() -> dict[str, str]:
  """Returns the figures of the source, by name."""
  files = sorted(_PACKAGE.rglob('*.py'))
  lines = {file: len(file.read_text().splitlines()) for file in files}
  trees = [ast.parse(file.read_text()) for file in files]
  functions = [
    node.end_lineno - node.lineno + 1
    for tree in trees
    for node in ast.walk(tree)
    if isinstance(node, _Function) and node.end_lineno
  ]
  docstrings = [text for tree in trees for text in _docstrings(tree)]
  questions = sum(bool(_QUESTION.match(text)) for text in docstrings)
  modules = [n for file, n in lines.items() if file.name != '__init__.py']
  longest = max(lines, key=lambda file: lines[file])
  top = [p.stem for p in _PACKAGE.glob('*.py') if p.stem != '__init__']
  words = sum(len(re.findall(r'\bAny\b', file.read_text())) for file in files)
  return {
    'modules at the top': f'{len(top)}',
    'rooms': f'{len([*_PACKAGE.glob("*/__init__.py")])}',
    'modules': f'{len(modules)}',
    'lines': f'{sum(lines.values()):,}',
    'lines of a module, median': f'{statistics.median(modules):.0f}',
    'lines of a module, longest': (
      f'{lines[longest]} ({longest.relative_to(_ROOT)})'
    ),
    'modules below 60 lines': f'{sum(n < 60 for n in modules)}',
    'lines of a function, median': f'{statistics.median(functions):.0f}',
    'lines of a function, longest': f'{max(functions)}',
    'docstrings that begin with a question word': (
      f'{questions} of {len(docstrings)}'
    ),
    'the word Any': f'{words}',
  }


def _docstrings(tree: ast.AST) -> Iterator[str]:
  for node in ast.walk(tree):
    if isinstance(node, _Function | ast.ClassDef | ast.Module):
      text = ast.get_docstring(node)
      if text:
        yield text


def path_of_a_batch() -> list[str]:
  """Returns the files that run from the first batch to the updated state."""
  sys.path.insert(0, str(_ROOT))
  import jax

  from configs import quickstart
  from semppl_jax.training import aot, experiment, train_iterator

  run = experiment.build(quickstart.get_config(), jax.devices()[:1])
  state = aot.abstract_state(run.step)
  found: set[str] = set()

  def record(frame: FrameType, event: str, argument: object) -> None:
    del event, argument
    # A file that is only imported, since its function is not needed, is not on
    # the path.
    if frame.f_code.co_name != '<module>':
      found.add(frame.f_code.co_filename)

  threading.setprofile(record)
  sys.setprofile(record)
  try:
    batches = train_iterator.make_train_input(run).iterate(0)
    inputs, _ = next(batches)
    jax.eval_shape(run.step.train, state, inputs)
    batches.close()
  finally:
    sys.setprofile(None)
    threading.setprofile(None)
  # Calls of Python functions that jax has cached are not seen a second time.
  paths = {pathlib.Path(file) for file in found}
  return sorted(
    str(path.relative_to(_ROOT)) for path in paths if _PACKAGE in path.parents
  )


if __name__ == '__main__':
  main()
