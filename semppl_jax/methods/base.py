"""What the train step asks of a method. It knows no method by name."""

from collections.abc import Callable
import dataclasses
from typing import Any, Literal, NamedTuple

import jax
from jax.sharding import Mesh

from semppl_jax.config import durations
from semppl_jax.data.batch import Batch
from semppl_jax.models.network import Outputs

Memory = Any
Metrics = dict[str, jax.Array]


class Inputs(NamedTuple):
  """What a loss is a function of.

  Attributes:
    online: outputs for all views, large ones first [B, V, ...], and for the
      support batch where the method asks for one; the gradient's way.
    target: outputs for the large views [B, L, ...], without gradient, or None.
    batch: the rows; images are uncoloured crops.
    memory: the method's state before this step.
    key: random key of this step.
    step: steps taken before this one, int32.
    params: the online parameters, without gradient.
  """

  online: Outputs
  target: Outputs | None
  batch: Batch
  memory: Memory
  key: jax.Array
  step: jax.Array
  params: Any = None


class Guesses(NamedTuple):
  """What a method takes the rows of a batch for; nothing is learned from it.

  Attributes:
    label: predicted class [B], int32, or the known one; -1 where there is none.
    share: share of the votes, or probability, behind it [B], in [0, 1].
    voter: identities of the labelled images that voted [B, K], int32; -1: none.
    positive: identities of the semantic positives [B, P], int32; -1: none.
  """

  label: jax.Array
  share: jax.Array
  voter: jax.Array | None = None
  positive: jax.Array | None = None


class LossResult(NamedTuple):
  """Value of a loss and what comes with it.

  Attributes:
    loss: scalar, float32.
    memory: the method's state after this step.
    metrics: named float32 scalars; parts of the loss start with `loss/`. NaN
      says that the batch had nothing to measure, and is not recorded.
    guesses: of a method that predicts labels, some of which are recorded.
  """

  loss: jax.Array
  memory: Memory
  metrics: Metrics
  guesses: Guesses | None = None


class Setting(NamedTuple):
  """Where a method will run.

  Attributes:
    mesh: the devices.
    batch_size: rows per step B, over all devices.
    examples: images of the train set, for durations in epochs.
  """

  mesh: Mesh
  batch_size: int
  examples: int

  def steps(self, duration: str) -> int:
    """Steps of a duration such as `'1 epochs'`."""
    return durations.steps(duration, self.batch_size, self.examples)


def no_memory() -> Memory:
  """The state of a method that keeps none."""
  return ()


@dataclasses.dataclass(frozen=True)
class Method:
  """One way to learn: pure functions, made by `make(config, setting)`.

  Attributes:
    name: what it is called.
    heads: heads that the network carries, of `network.HEADS`.
    loss: `Inputs -> LossResult`.
    target: where `Inputs.target` comes from: `'ema'`, a moving average of the
      online network, of its own batch-norm averages; `'stop_gradient'`, the
      online outputs; `'none'`. With `'stop_gradient'` the support batch is
      there too.
    bn_groups: `'view'` gives each view its own batch-norm statistics,
      `'resolution'` shares them among views of one size and the support batch.
    support: whether each batch comes with labelled rows of `config.support`.
    frozen: whether the classifier alone learns.
    unlabelled: whether rows without a label have a part in the loss.
    init_memory: makes the state that the method keeps between steps; pure.
    memory_sharding: how the devices hold that state, of the same structure;
      None: each has all of it.
    after_gradient: changes the gradient before the optimiser, given the step.
    after_update: changes the parameters after the optimiser, given the step.
  """

  name: str
  heads: tuple[str, ...]
  loss: Callable[[Inputs], LossResult]
  target: Literal['ema', 'stop_gradient', 'none'] = 'none'
  bn_groups: Literal['view', 'resolution'] = 'resolution'
  support: bool = False
  frozen: bool = False
  unlabelled: bool = True
  init_memory: Callable[[], Memory] = no_memory
  memory_sharding: Memory | None = None
  after_gradient: Callable[[Any, jax.Array], Any] = lambda grads, step: grads
  after_update: Callable[[Any, jax.Array], Any] = lambda params, step: params
