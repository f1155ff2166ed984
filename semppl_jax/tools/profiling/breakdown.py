"""Which part of a train step takes which time, by programs with one part less.

Each program below lacks one part of the one before it. All run in turn, step
by step, so that a machine that slows down meanwhile is fair to them. A part is
the difference of the median times of two programs, or the time of a program by
itself; nothing is clipped, so that a part which takes less than the times
waver may come out below zero. What the parts leave of the step is the rest:
normalising the images and filling their background, norms, checks that all is
finite, the probe, and what the compiler gains or loses by having all parts in
one program.

  step          the train step
  views_given   the same on views that are cut already
  plain         the same without operations on colours and blur
  bare          the same with `bare` for the method: no queue, votes or draws,
                and the least of losses
  networks      forward and backward pass, target included, on images that are
                normalised already: no optimiser, no probe
  encoder       the same without heads
  update        optimiser and moving average on a gradient that is there
"""

from collections.abc import Mapping
import dataclasses
from typing import Any, NamedTuple

import jax

from semppl_jax.data.batch import Batch
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.tools.profiling import step_variants
from semppl_jax.tools.profiling.bare import bare
from semppl_jax.tools.profiling.on_state import Program
from semppl_jax.tools.profiling.timing import Times
from semppl_jax.training import unfed
from semppl_jax.training.train_step import TrainState
from semppl_jax.training.unfed import Unfed

# What a part is: the time of the first program, less that of the second.
_PARTS = {
  'cutting views': ('step', 'views_given'),
  'colours and blur': ('views_given', 'plain'),
  'queue, votes, sampling, losses': ('plain', 'bare'),
  'heads': ('networks', 'encoder'),
  'encoder': ('encoder', None),
  'optimiser and average': ('update', None),
}


class Part(NamedTuple):
  """One part of the step.

  Attributes:
    ms: milliseconds.
    share: of the step's.
    measured: by which programs, as `'plain - bare'`.
  """

  ms: float
  share: float
  measured: str


def programs(run: Unfed, state: TrainState, given: Any) -> dict[str, Program]:
  """Compiles every program but the step itself.

  Args:
    run: the config, its method and its devices.
    state: a state of the step, which stays.
    given: what the step is given.
  """
  made = {}
  batch = given
  if not isinstance(given, Batch):
    batch = _cut(run, given, state)
    made['views_given'] = step_variants.step(run, state, batch)
  plain = unfed.without_colours(run)
  networks = plain._replace(method=bare(run.method))
  encoder = networks._replace(
    method=dataclasses.replace(networks.method, heads=())
  )
  images = step_variants.images(run, batch)
  return made | {
    'plain': step_variants.step(plain, state, batch),
    'bare': step_variants.step(networks, state, batch),
    'networks': step_variants.networks(networks, state, images, batch),
    'encoder': step_variants.networks(encoder, state, images, batch),
    'update': step_variants.update(run, state),
  }


def _cut(run: Unfed, given: Any, state: TrainState) -> Batch:
  """The views that the step cuts of what it is given."""
  rows = mesh_lib.sharded(run.mesh)
  return jax.jit(unfed.step(run).views, out_shardings=rows)(given, state)


def shares(times: Mapping[str, Times]) -> dict[str, Part]:
  """Returns the parts of the step, and the rest, which add up to it.

  Args:
    times: of the programs, `'step'` among them; without `'views_given'` where
      the step is given views.
  """
  whole = times['step'].median_ms
  found: dict[str, Part] = {}
  for name, (one, other) in _PARTS.items():
    if 'views_given' not in times:
      if other == 'views_given':
        continue
      one = 'step' if one == 'views_given' else one
    ms, measured = times[one].median_ms, one
    if other is not None:
      ms, measured = ms - times[other].median_ms, f'{one} - {other}'
    found[name] = Part(ms, ms / whole, measured)
  rest = whole - sum(part.ms for part in found.values())
  return found | {'rest': Part(rest, rest / whole, 'step - all above')}


def table(parts: Mapping[str, Part]) -> str:
  """Returns aligned lines of milliseconds, shares and how they were found."""
  width = max(map(len, parts))
  lines = [f'{"part":<{width}}  {"ms":>10}  {"share":>7}  measured as']
  lines += [
    f'{name:<{width}}  {part.ms:>10,.2f}  {part.share:>7.1%}  {part.measured}'
    for name, part in parts.items()
  ]
  return '\n'.join(lines)
