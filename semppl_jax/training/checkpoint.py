"""Checkpoints of a whole run: a thin cover of orbax.

A checkpoint holds the train state (queues and seed included), the config and
the label subset, so that a restart needs a directory and the same command.
Orbax writes to a temporary name and renames: a run that is killed, or a disk
that fills up, leaves the checkpoints before it as they were.
"""

from collections.abc import Iterator, Mapping
import contextlib
from typing import Any, NamedTuple

from etils import epath
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from semppl_jax.config import loading
from semppl_jax.runtime import errors
from semppl_jax.runtime.errors import count_and_names, InputError, ProgramError

# Fields that change what is printed and kept, and where and how fast a run
# works, but not what comes of it.
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
# Nor do these change the training beyond rounding, but what it takes of memory
# and what it is judged by.
_FREE_FIELDS = (
  *WORKING_FIELDS,
  'network.remat',
  'eval.',
  'data.test_',
  'data.max_corrupt',
)
BEST_METRIC = 'best'


class Identity(NamedTuple):
  """What must be the same for a run to go on from a checkpoint.

  Attributes:
    config: the run's config as plain values.
    data: fingerprint of the train set.
    labels: hash of the label subset.
    labelled: ids of the labelled images, str [M].
    class_names: names of the classes [C].
    masks: checksum of the saliency masks, or '' without a store of them.
  """

  config: dict[str, Any]
  data: str
  labels: str
  labelled: np.ndarray
  class_names: tuple[str, ...] = ()
  masks: str = ''


class MismatchError(InputError):
  """A checkpoint belongs to another config, data set, labels or masks."""


class WriteError(ProgramError, RuntimeError):
  """A checkpoint could not be written; those before it are as they were."""

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
    """Step of the newest whole checkpoint, or None."""
    return self._manager.latest_step()

  def save(
    self, step: int, state: Any, metrics: Mapping[str, float] | None = None
  ) -> None:
    """Starts to write a checkpoint; a step that is there already is kept.

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

  def restore(self, step: int, like: Any) -> Any:
    """Reads a state, laid out over devices as `like` says.

    Args:
      step: step of the checkpoint.
      like: tree of `jax.ShapeDtypeStruct` with shardings; the devices may be
        others, and of another number, than when it was saved.

    Raises:
      MismatchError: it was made by another config, data, label subset or masks.
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
      step, args=ocp.args.Composite(state=ocp.args.StandardRestore(like))
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
    """Whether a checkpoint was saved with the figures of an evaluation."""
    return self._manager.metrics(step) is not None

  def wait(self) -> None:
    """Waits for the write that is under way.

    Raises:
      WriteError: it failed.
    """
    with _writing(self.directory):
      self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits for writes and lets the directory go; raises as `wait`."""
    with _writing(self.directory):
      self._manager.close()


@contextlib.contextmanager
def _writing(directory: epath.Path) -> Iterator[None]:
  """Turns whatever a failed write raises into one sentence."""
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
  """Every field that differs and would change the training, and the data."""
  differ = differing_fields(saved['config'], now['config'], _FREE_FIELDS)
  if saved['data'] != now['data']:
    differ.append('the train set holds other images or labels')
  # Of a checkpoint from before there were any.
  if saved.get('masks', '') != now['masks']:
    differ.append('the saliency masks (data.saliency) are others')
  return differ


def differing_fields(
  old: dict[str, Any], new: dict[str, Any], free: tuple[str, ...]
) -> list[str]:
  """Returns a sentence of each field that differs.

  Args:
    old: a saved config, from `loading.to_flat_dict`; it may lack newer fields.
    new: the config of now, likewise.
    free: fields that begin so may differ.
  """
  old = _with_new_fields(old, new)
  return [
    f'{name} was {old.get(name)!r} and is {new.get(name)!r}'
    for name in sorted(old.keys() | new.keys())
    if old.get(name) != new.get(name) and not name.startswith(free)
  ]


def _with_new_fields(
  old: dict[str, Any], new: dict[str, Any]
) -> dict[str, Any]:
  """A saved config with the fields that it is too old to have.

  What a new field stands at by default is what was before there was one.
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
