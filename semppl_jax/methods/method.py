"""What the train step asks of a method. It knows no method by name."""

from collections.abc import Callable
import dataclasses
from typing import Any, Literal, NamedTuple

import jax

from semppl_jax.batch import Batch
from semppl_jax.network import Outputs

Memory = Any
Metrics = dict[str, jax.Array]


class LossResult(NamedTuple):
  """Value of a loss and what comes with it.

  Attributes:
    loss: scalar, float32.
    memory: the method's state after this step.
    metrics: named float32 scalars; parts of the loss start with `loss/`. NaN
      says that the batch had nothing to measure, and is not recorded.
  """

  loss: jax.Array
  memory: Memory
  metrics: Metrics


LossFn = Callable[
  [Outputs, Outputs | None, Batch, Memory, jax.Array], LossResult
]


@dataclasses.dataclass(frozen=True)
class Method:
  """One way to learn: pure functions, made by `make(config, mesh)`.

  Attributes:
    name: its key in the table of `semppl_jax.methods`.
    heads: heads that the network carries, of `network.HEADS`.
    target: where the second argument of `loss` comes from: `'ema'`, a moving
      average of the online network on the large views; `'stop_gradient'`, the
      online outputs on the large views without gradient; `'none'`.
    frozen: whether the classifier alone learns.
    bn_groups: `'view'` gives each view its own batch-norm statistics,
      `'resolution'` shares them among views of one size.
    init_memory: makes the state that the method keeps between steps; pure.
    memory_sharding: how the devices hold that state, of the same structure.
    loss: `(online, target, batch, memory, key) -> LossResult`.
    after_update: changes the parameters after the optimiser, given the step.
  """

  name: str
  heads: tuple[str, ...]
  target: Literal['ema', 'stop_gradient', 'none']
  bn_groups: Literal['view', 'resolution']
  init_memory: Callable[[], Memory]
  memory_sharding: Memory
  loss: LossFn
  after_update: Callable[[Any, jax.Array], Any] = lambda params, step: params
  frozen: bool = False
