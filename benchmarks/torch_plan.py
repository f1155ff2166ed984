"""Networks and shapes of a step, from which PyTorch can build them."""

from typing import NamedTuple

import ml_collections

from semppl_jax.config.loading import ConfigError
from semppl_jax.training.aot import AbstractRun

# Names in `tests/helpers/torch_networks.py`.
_BACKBONES = {
  'wide_resnet28_2': 'wide_resnet28_2',
  **{f'resnet{n}': f'timm_resnet{n}' for n in (18, 34, 50, 101, 152)},
}
_PLAIN = {'width': 1, 'selective_kernels': False}
_STEMS = ('imagenet', 'cifar')


class Mlp(NamedTuple):
  """Head with batch norm.

  Attributes:
    widths: units of the hidden layers and the output.
    last_bias: whether the output has a bias.
    input_norm: whether it begins with batch norm.
  """

  widths: tuple[int, ...]
  last_bias: bool
  input_norm: bool = False


class Plan(NamedTuple):
  """Networks and inputs of a step.

  Attributes:
    backbone: a name of `torch_networks`.
    heads: projector and predictor, as far as the method has them.
    target: as `Method.target`.
    batch: images per step.
    views: number and size of the large ones, then of the small ones, if any.
    support: labelled images that join the large views.
    precision: of the encoder; heads are float32.
  """

  backbone: str
  heads: tuple[Mlp, ...]
  target: str
  batch: int
  views: tuple[tuple[int, int], ...]
  support: int
  precision: str

  @property
  def rows(self) -> tuple[int, ...]:
    """Images that pass the network in one forward, for each size."""
    first, *rest = (self.batch * count for count, _ in self.views)
    return first + self.support, *rest


def of(run: AbstractRun) -> Plan:
  """Returns the plan of a config for PyTorch.

  Args:
    run: the config and its method.

  Raises:
    ConfigError: the step has a part without an implementation in PyTorch.
  """
  c, method, s = run.config, run.method, run.config.support
  _check(run)
  sizes = (c.views.large, c.views.small)
  return Plan(
    backbone=_BACKBONES[c.network.backbone],
    heads=tuple(_head(c.network, name) for name in method.heads),
    target=method.target,
    batch=c.batch_size,
    views=tuple((x.count, x.size) for x in sizes if x.count),
    support=method.support
    * (s.classes_per_batch * s.images_per_class * s.views),
    precision=c.network.precision,
  )


def _head(network: ml_collections.ConfigDict, name: str) -> Mlp:
  p, q = network.projector, network.predictor
  if name == 'projector':
    return Mlp((*(p.hidden,) * (p.layers - 1), p.output), p.last_bias)
  return Mlp((q.hidden, p.output), q.last_bias, q.input_norm)


def _check(run: AbstractRun) -> None:
  network, method = run.config.network, run.method
  unknown = {k for k, v in _PLAIN.items() if network[k] != v}
  if network.backbone not in _BACKBONES:
    unknown.add('backbone')
  elif network.stem != _STEMS[network.backbone == 'wide_resnet28_2']:
    unknown.add('stem')
  problems = [f'network.{k}={network[k]!r}' for k in sorted(unknown)]
  problems += [
    f'the head {head!r}'
    for head in method.heads
    if head not in ('projector', 'predictor')
  ]
  if run.config.accumulate > 1:
    problems.append(f'accumulate={run.config.accumulate}')
  if problems:
    raise ConfigError(
      f'The PyTorch step is not written for {", ".join(problems)}.'
    )
