"""The interface between the train step and a method, which it never names."""

from collections.abc import Callable
import dataclasses
from typing import Literal, NamedTuple

from jax.sharding import Mesh
from jaxtyping import Array, Float32, Int32, Key, PyTree

from semppl_jax.config import durations
from semppl_jax.data.batch import Batch
from semppl_jax.models.network import Outputs

# A tree of arrays, or of how the devices hold them.
Memory = PyTree
Metrics = dict[str, Array]


class Inputs(NamedTuple):
  """Arguments of a loss.

  Attributes:
    online: outputs for all views, large ones first [B, V, ...], and for the
      support batch where the method asks for one; they carry the gradient.
    target: outputs for the large views [B, L, ...], without gradient, or None.
    batch: the rows; images are crops before color augmentation.
    memory: the method's state before this step.
    key: random key of this step.
    step: steps taken before this one.
    params: the online parameters, without gradient.
  """

  online: Outputs
  target: Outputs | None
  batch: Batch
  memory: Memory
  key: Key[Array, '']
  step: Int32[Array, '']
  params: PyTree = None


class PseudoLabels(NamedTuple):
  """Predicted labels of the rows of a batch, for the record alone.

  Attributes:
    label: predicted class [B], or the known one; -1 where there is none.
    share: share of the votes, or probability, behind it [B], in [0, 1].
    neighbor_ids: identities of the labelled images that voted [B, K]; -1: none.
    positive_ids: identities of the semantic positives [B, P]; -1: none.
  """

  label: Int32[Array, 'B']
  share: Float32[Array, 'B']
  neighbor_ids: Int32[Array, 'B K'] | None = None
  positive_ids: Int32[Array, 'B P'] | None = None


class LossResult(NamedTuple):
  """Value of a loss and auxiliary results.

  Attributes:
    loss: scalar.
    memory: the method's state after this step.
    metrics: named float32 scalars; parts of the loss start with `loss/`. NaN
      says that the batch had nothing to measure, and is not recorded.
    pseudo_labels: of a method that predicts labels; some are recorded.
  """

  loss: Float32[Array, '']
  memory: Memory
  metrics: Metrics
  pseudo_labels: PseudoLabels | None = None


class MethodContext(NamedTuple):
  """Devices and sizes of the run that a method is built for.

  Attributes:
    mesh: the devices.
    batch_size: rows per step B, over all devices.
    examples: images of the train set, for durations in epochs.
  """

  mesh: Mesh
  batch_size: int
  examples: int

  def steps(self, duration: str) -> int:
    """Returns the steps of a duration such as `'1 epochs'`."""
    return durations.steps(duration, self.batch_size, self.examples)


@dataclasses.dataclass(frozen=True)
class Method:
  """A learning method: pure functions, built by `make(config, context)`.

  Attributes:
    name: name of the method.
    heads: heads that the network carries, of `network.HEADS`.
    loss: `Inputs -> LossResult`.
    target: source of `Inputs.target`: `'ema'`, a moving average of the online
      network, with its own batch-norm averages; `'stop_gradient'`, the online
      outputs, those of the support batch too; `'none'`.
    bn_groups: `'view'` gives each view its own batch-norm statistics,
      `'resolution'` shares them among views of one size and the support batch.
    support: True if each batch comes with labelled rows of `config.support`.
    frozen: True if the classifier alone learns.
    unlabelled: True if rows without a label take part in the loss.
    init_memory: returns the state that the method keeps between steps; pure.
    memory_sharding: how the devices hold that state, of the same structure;
      None: each holds all of it.
    after_gradient: changes the gradient before the optimizer, given the step.
    after_update: changes the parameters after the optimizer, given the step.
  """

  name: str
  heads: tuple[str, ...]
  loss: Callable[[Inputs], LossResult]
  target: Literal['ema', 'stop_gradient', 'none'] = 'none'
  bn_groups: Literal['view', 'resolution'] = 'resolution'
  support: bool = False
  frozen: bool = False
  unlabelled: bool = True
  init_memory: Callable[[], Memory] = lambda: ()
  memory_sharding: Memory | None = None
  after_gradient: Callable[[PyTree, Array], PyTree] = lambda grads, step: grads
  after_update: Callable[[PyTree, Array], PyTree] = lambda params, step: params
