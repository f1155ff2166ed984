"""Plain PyTorch step: the networks of a method, a minimal loss, SGD.

The same as our step with `networks_only`, on images that are normalized and on
the device already. Batch norm sees all views of a size together.
"""

from collections.abc import Callable, Sequence
import contextlib
import copy
import pathlib
import sys
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch_plan import Mlp, Plan

# The networks are those that tests compare with.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from tests.helpers import torch_networks

# Changes no time; small, so that noise does not diverge.
_RATE, _MOMENTUM, _DECAY = 1e-4, 0.9, 0.99
_EXAMPLE = (1, 3, 32, 32)


class Networks(nn.Module):
  """An encoder and heads: images [N, 3, H, W] to the last head's output."""

  def __init__(self, plan: Plan):
    """Makes the networks with random weights."""
    super().__init__()
    self.mixed = plan.precision == 'bfloat16'
    self.encoder = torch_networks.build(plan.backbone)
    with torch.no_grad():
      features = self.encoder(torch.zeros(_EXAMPLE)).shape[-1]
    self.heads = nn.Sequential()
    for each in plan.heads:
      self.heads.append(_head(features, each))
      features = each.widths[-1]

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    """Maps images to the last output, float32."""
    kind = images.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=self.mixed):
      features = self.encoder(images)
    return self.heads(features.float())


def _head(inputs: int, mlp: Mlp) -> nn.Sequential:
  *hidden, output = mlp.widths
  layers: list[nn.Module] = [nn.BatchNorm1d(inputs)] if mlp.input_norm else []
  for width in hidden:
    layers += [nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU()]
    inputs = width
  layers.append(nn.Linear(inputs, output, bias=mlp.last_bias))
  return nn.Sequential(*layers)


def average_of(online: Networks) -> Networks:
  """Returns the target's networks: the same without a predictor."""
  average = copy.deepcopy(online)
  average.heads = nn.Sequential(*list(average.heads)[:1])
  return average.requires_grad_(False)


def distance(
  online: Networks,
  average: Networks | None,
  images: Sequence[torch.Tensor],
  plan: Plan,
) -> torch.Tensor:
  """Returns the loss of `networks_only`.

  Args:
    online: the networks that learn.
    average: those of the target, where it has its own.
    images: all views of each size [rows, 3, H, W], the support after the first.
    plan: how many of each there are.
  """
  outputs = [online(x) for x in images]
  own = plan.batch * plan.views[0][0]
  first, support = outputs[0][:own], outputs[0][own:]
  views = [x.unflatten(0, (plan.batch, -1)) for x in (first, *outputs[1:])]
  center: Any = 0.0
  if average is not None:
    with torch.no_grad():
      target = average(images[0][:own]).unflatten(0, (plan.batch, -1))
    center = target.mean(1, keepdim=True)
  elif plan.target == 'stop_gradient':
    center = views[0].detach().mean(1, keepdim=True)
  loss = (torch.cat(views, 1) - center).square().mean()
  return loss + support.square().mean() if len(support) else loss


def make(plan: Plan, kind: str, compiled: bool) -> Callable[[], None]:
  """Returns a call that takes a step and waits until it is done.

  Args:
    plan: what the step computes.
    kind: `'cuda'` or `'cpu'`.
    compiled: whether `torch.compile` makes the forward and backward pass.
  """
  _fast()
  torch.manual_seed(0)
  online = _on(Networks(plan).train(), kind)
  average = average_of(online) if plan.target == 'ema' else None
  fast = {'fused': True} if kind == 'cuda' else {'foreach': True}
  optimizer = torch.optim.SGD(online.parameters(), _RATE, _MOMENTUM, **fast)
  images = _noise(plan, kind)
  loss = torch.compile(distance) if compiled else distance
  wait = torch.cuda.synchronize if kind == 'cuda' else contextlib.nullcontext

  def step() -> None:
    optimizer.zero_grad(set_to_none=True)
    loss(online, average, images, plan).backward()
    optimizer.step()
    if average is not None:
      _move(average, online)
    wait()

  return step


def _fast() -> None:
  # JAX's products of float32 are TF32 too, and it tries convolutions out.
  torch.set_float32_matmul_precision('high')
  torch.backends.cudnn.allow_tf32 = True
  torch.backends.cudnn.benchmark = True


def _on(networks: Networks, kind: str) -> Networks:
  # Its stub lacks the argument.
  to: Any = networks.to(kind).to
  return to(memory_format=torch.channels_last)


def _noise(plan: Plan, kind: str) -> list[torch.Tensor]:
  return [
    torch.randn(rows, 3, size, size, device=kind).contiguous(
      memory_format=torch.channels_last
    )
    for rows, (_, size) in zip(plan.rows, plan.views, strict=True)
  ]


def _move(average: Networks, online: Networks) -> None:
  """Moves the average: all its parameters in one call."""
  own = dict(online.named_parameters())
  names, moved = zip(*average.named_parameters(), strict=True)
  move = get_ema_multi_avg_fn(_DECAY)
  move(list(moved), [own[name].detach() for name in names], 1)
