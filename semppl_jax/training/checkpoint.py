"""Checkpoints of a run, written by orbax.

A checkpoint holds the train state (queues and seed included), the config and
the label subset, so that a restart needs a directory and the same command.
Orbax writes to a temporary name and renames: a killed run or a full disk leaves
the earlier checkpoints unchanged.
"""

from collections.abc import Iterator, Mapping
import contextlib
from typing import Any, NamedTuple

from etils import epath
from jaxtyping import PyTree
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from semppl_jax.config import loading
from semppl_jax.runtime import errors
from semppl_jax.runtime.errors import count_and_names, InputError, ProgramError

# Fields that change what is printed and kept, and where and how fast a run
# works, but not its result.
WORKING_FIELDS = (
  'log_every',
  'on_nonfinite',
  'checkpoint.',
  'data.path',
  'data.labels_file',
  'data.saliency',
  'data.prefetch',
  'data.threads',
  'data.device_gib',
)
# These do not change the training beyond rounding either, only its memory and
# its evaluation.
_FREE_FIELDS = (
  *WORKING_FIELDS,
  'network.remat',
  'eval.',
  'data.test_',
  'data.max_corrupt',
)
BEST_METRIC = 'best'


class Identity(NamedTuple):
  """Identity of a run: equal for a run and the checkpoints it can continue.

  Attributes:
    config: config of the run by dotted name.
    data: fingerprint of the train set.
    labels: hash of the label subset.
    labelled: ids of the labelled images, str [M].
    class_names: names of the classes [C].
    masks: checksum of the saliency masks, or '' without a store of them.
  """

  config: dict[str, object]
  data: str
  labels: str
  labelled: np.ndarray
  class_names: tuple[str, ...] = ()
  masks: str = ''


class MismatchError(InputError):
  """A checkpoint has another config, data set, label subset or masks."""


class WriteError(ProgramError, RuntimeError):
  """A checkpoint could not be written; earlier ones are unchanged."""

  # The destructors of a failed write would not end.
  abort = True


class Checkpointer:
  """Saves and restores the states of one run, asynchronously.

  Attributes:
    directory: where the checkpoints are.
  """

  def __init__(self, workdir: epath.Path, identity: Identity, keep: int):
    self.directory = workdir / 'checkpoints'
    self._identity = identity
    policies = [
      checkpoint_managers.LatestN(keep),
      checkpoint_managers.BestN(
        n=1,
        get_metric_fn=lambda m: m[BEST_METRIC],
        keep_checkpoints_without_metrics=False,
      ),
    ]
    self._manager = ocp.CheckpointManager(
      self.directory.resolve(),
      options=ocp.CheckpointManagerOptions(
        # Without it metrics are not written, and a restart forgets the best.
        best_fn=lambda metrics: metrics[BEST_METRIC],
        preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
        cleanup_tmp_directories=True,
      ),
    )

  def latest_step(self) -> int | None:
    """Returns the step of the newest complete checkpoint, or None."""
    return self._manager.latest_step()

  def save(
    self, step: int, state: PyTree, metrics: Mapping[str, float] | None = None
  ) -> None:
    """Starts to write a checkpoint; an existing one of this step is kept.

    Raises:
      WriteError: this write, or the one before it, failed.
    """
    if self._manager.latest_step() == step:
      return
    with _writing(self.directory):
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          labelled=ocp.args.ArraySave(_as_bytes(self._identity.labelled)),
          identity=ocp.args.JsonSave(_plain(self._identity)),
        ),
        metrics=dict(metrics) if metrics else None,
      )

  def restore(self, step: int, abstract_state: PyTree) -> PyTree:
    """Reads a state into the shapes and shardings of an abstract state.

    Args:
      step: step of the checkpoint.
      abstract_state: tree of `jax.ShapeDtypeStruct` with shardings; devices and
        their number may differ from those of the run that saved it.

    Raises:
      MismatchError: it has another config, data set, label subset or masks.
    """
    saved = self._manager.restore(
      step, args=ocp.args.Composite(identity=ocp.args.JsonRestore())
    ).identity
    differ = _differing(saved, _plain(self._identity))
    if saved['labels'] != self._identity.labels:
      differ.append(self._other_labels(step))
    if differ:
      raise MismatchError(
        f'{self.directory} holds checkpoints of another run:'
        f' {"; ".join(differ)}. Take the old settings, or another --workdir.'
      )
    return self._manager.restore(
      step,
      args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract_state)),
    ).state

  def _other_labels(self, step: int) -> str:
    saved = self._manager.restore(
      step, args=ocp.args.Composite(labelled=ocp.args.ArrayRestore())
    ).labelled
    old, new = set(_from_bytes(saved)), set(self._identity.labelled.tolist())
    changes = [
      count_and_names(what, sorted(names))
      for what, names in (
        ('image(s) lost their label', old - new),
        ('image(s) gained one', new - old),
      )
      if names
    ]
    return f'the labelled subset is another one ({", ".join(changes)})'

  def evaluated(self, step: int) -> bool:
    """Returns True if a checkpoint has the scores of an evaluation."""
    return self._manager.metrics(step) is not None

  def wait(self) -> None:
    """Waits for the current write.

    Raises:
      WriteError: it failed.
    """
    with _writing(self.directory):
      self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits for writes and closes the manager; raises as `wait`."""
    with _writing(self.directory):
      self._manager.close()


@contextlib.contextmanager
def _writing(directory: epath.Path) -> Iterator[None]:
  """Raises WriteError, one sentence, for any error of a write."""
  try:
    yield
  # Orbax passes on the errors of its threads: OSError, tensorstore's
  # ValueError, asyncio's RuntimeError.
  except (OSError, ValueError, RuntimeError) as error:
    raise WriteError(
      f'A checkpoint in {directory} could not be written:'
      f' {errors.first_line(error)}. The ones before it'
      ' are whole; make room and start the same command again.'
    ) from error


def _plain(identity: Identity) -> dict[str, Any]:
  fields = identity._asdict()
  del fields['labelled']
  return fields


def _differing(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
  """Returns each difference that would change the training."""
  differ = differing_fields(saved['config'], now['config'], _FREE_FIELDS)
  if saved['data'] != now['data']:
    differ.append('the train set holds other images or labels')
  # Of a checkpoint from before there were any.
  if saved.get('masks', '') != now['masks']:
    differ.append('the saliency masks (data.saliency) are others')
  return differ


def differing_fields(
  old: dict[str, object], new: dict[str, object], free: tuple[str, ...]
) -> list[str]:
  """Returns a sentence for each field that differs.

  Args:
    old: a saved config, from `loading.to_flat_dict`; it may lack newer fields.
    new: the config of now, likewise.
    free: prefixes of fields that may differ.
  """
  old = _with_new_fields(old, new)
  return [
    f'{name} was {old.get(name)!r} and is {new.get(name)!r}'
    for name in sorted(old.keys() | new.keys())
    if old.get(name) != new.get(name) and not name.startswith(free)
  ]


def _with_new_fields(
  old: dict[str, object], new: dict[str, object]
) -> dict[str, object]:
  """Adds newer fields to an old saved config, at their defaults.

  The default of a new field is the behaviour before the field existed.
  """
  if new.keys() <= old.keys():
    return old
  defaults = loading.to_flat_dict(loading.base())
  added = {name: defaults[name] for name in new.keys() & defaults.keys()}
  return added | old


def _as_bytes(ids: np.ndarray) -> np.ndarray:
  return np.frombuffer('\n'.join(ids.tolist()).encode(), np.uint8)


def _from_bytes(content: np.ndarray) -> list[str]:
  return np.asarray(content, np.uint8).tobytes().decode().split('\n')
