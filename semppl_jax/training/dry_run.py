"""`--check`: the data, the cost and every problem of a run, all at once."""

import jax
import ml_collections

from semppl_jax.data import inspection, labels, masks
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.training import experiment as experiment_lib, plan

_NEEDED_TO_DECODE = ('config.views.', 'config.eval.', 'config.data.')


def describe(config: ml_collections.ConfigDict) -> tuple[str, bool]:
  """Returns what would run, as text, and whether it could.

  Args:
    config: the run's config. Unless a field of its views, evaluation or data is
      wrong, every image is decoded once to find the unreadable ones.
  """
  mesh = mesh_lib.make_mesh()
  parts, problems = [], experiment_lib.check(config, mesh)
  splits = subset = None
  decode = not any(text.startswith(_NEEDED_TO_DECODE) for text in problems)
  try:
    splits = masks.load(config)
    try:
      subset = labels.select(config.data, splits.train)
    except ValueError as error:
      problems.append(str(error))
    data = inspection.report(config, splits, subset or labels.NONE, decode)
    parts.append(str(data._replace(problems=[])))
    problems += data.problems
  except ValueError as error:
    problems.append(str(error))
  problems += experiment_lib.check(config, mesh, splits, subset)
  if not problems:
    parts.append(str(plan.make(experiment_lib.build(config))))
  found = sorted(set(problems), key=problems.index)
  if jax.process_index() == 0 and found:
    parts.append('\n'.join(f'problem: {text}' for text in found))
  return '\n'.join(parts), not found
