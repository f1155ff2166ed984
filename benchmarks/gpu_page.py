"""Markdown tables of the benchmark on a GPU."""

from collections.abc import Mapping
from typing import Any

from gpu_rows import COMPILED, EAGER, OURS, Row
from gpu_runs import Measured, Sides

from semppl_jax.runtime.tables import markdown

_AGAINST = {EAGER: 'eager', COMPILED: 'torch.compile'}
_HEAD = (
  *('row', 'GPU', 'batch', 'precision'),
  *('ours, ms', 'images/s', 'networks only, ms'),
  *('PyTorch', 'ms', 'images/s'),
  *('ratio, networks only', 'ratio, full step'),
  *('MFU', 'share of roofline', 'peak GiB, ours', 'peak GiB, PyTorch'),
)
_NONE = '-'
_NOTE = (
  'A ratio is our images/s over those of PyTorch, which computes the networks,'
  ' the least of losses, SGD and the moving average, and no more: `networks'
  ' alone` is our step of the same (`networks_only` of'
  ' `semppl_jax/tools/profiling/step_variants.py`), and `full step` has views,'
  ' colors, memory and losses besides.'
)
PUBLISHED = (
  'For comparison: a public TensorFlow port of PAWS (PAWS-TF) trained WRN-28-2'
  ' on CIFAR-10 at about 487 images/s on one NVIDIA V100.'
)


def page(measured: Mapping[Row, Sides]) -> str:
  """Returns every table.

  Args:
    measured: measured sides of each row.
  """
  lines = [
    line for row, sides in measured.items() for line in _lines(row, sides)
  ]
  blocks = ['# One step on one GPU', markdown([_HEAD, *lines]), _NOTE]
  blocks += _reasons(measured)
  blocks.append(PUBLISHED)
  for row, sides in measured.items():
    report = sides[OURS].report
    if report is not None:
      blocks += [f'## {row.title}', *_details(report)]
  return '\n\n'.join(blocks)


def _lines(row: Row, sides: Sides) -> list[list[str]]:
  others = {name: x for name, x in sides.items() if name != OURS}
  return [
    [row.title, *_ours(sides[OURS].report), *_theirs(name, each, sides[OURS])]
    for name, each in others.items()
  ]


def _ours(report: dict[str, Any] | None) -> list[str]:
  if report is None:
    return [_NONE] * 6
  return [
    report['device_kind'],
    f'{report["batch_size"]:,}',
    report['precision'],
    _ms(report),
    f'{report["images_per_second"]:,.0f}',
    _number(_bare_ms(report), ',.2f'),
  ]


def _theirs(name: str, other: Measured, ours: Measured) -> list[str]:
  report, own = other.report, ours.report
  if own is None:
    return [_AGAINST[name], *[_NONE] * 8]
  theirs, ratios, peak = [_NONE] * 2, [_NONE] * 2, _NONE
  if report is not None:
    theirs = [_ms(report), f'{report["images_per_second"]:,.0f}']
    ratios = [_number(x, '.2f') for x in _ratios(own, report)]
    peak = _number(report['memory_gib']['device_peak'], '.2f')
  return [
    *(_AGAINST[name], *theirs, *ratios),
    *(f'{own["utilisation"]:.1%}', f'{own["roofline_share"]:.1%}'),
    *(_number(_peak(own), '.2f'), peak),
  ]


def _ratios(
  ours: dict[str, Any], theirs: dict[str, Any]
) -> tuple[float | None, float]:
  """Our images/s over theirs: networks alone, and the full step."""
  bare, ms = _bare_ms(ours), theirs['step']['median_ms']
  return bare and ms / bare, ms / ours['step']['median_ms']


def _bare_ms(report: dict[str, Any]) -> float | None:
  programs = report.get('programs')
  return programs and programs['bare']['median_ms']


def _peak(report: dict[str, Any]) -> float | None:
  memory = report['memory_gib']
  return memory['device_peak'] or memory['step']


def _reasons(measured: Mapping[Row, Sides]) -> list[str]:
  return [
    f'{row.title}, {name}: not measured: {each.reason}'
    for row, sides in measured.items()
    for name, each in sides.items()
    if each.report is None
  ]


def _details(report: dict[str, Any]) -> list[str]:
  parts = report.get('parts')
  if parts is None:
    return ['Parts: the step of the networks only did not fit.', _gap(report)]
  head = ('part', 'ms', 'share', 'measured as')
  lines = [
    [name, f'{x["ms"]:,.2f}', f'{x["share"]:.1%}', x['measured']]
    for name, x in parts.items()
  ]
  return [markdown([head, *lines]), _gap(report)]


def _gap(report: dict[str, Any]) -> str:
  """Sentences that compare the step with its roofline."""
  terms, device = report['roofline_terms_ms'], report['device']
  longest = max(terms, key=terms.__getitem__)
  ms, least = report['step']['median_ms'], report['roofline_ms']
  return (
    f'Roofline: {least:,.2f} ms, of which {longest} is the largest term'
    f' (compute {terms["compute"]:,.2f} ms at {device["tflops"]:,.4g} TFLOP/s,'
    f' memory {terms["memory"]:,.2f} ms at {device["gbps"]:,.4g} GB/s;'
    f' {device["origin"]}). The step takes {ms:,.2f} ms: {ms - least:,.2f} ms'
    f' more, {ms / least:,.2f} times as long.'
  )


def _ms(report: dict[str, Any]) -> str:
  return f'{report["step"]["median_ms"]:,.2f}'


def _number(value: float | None, form: str) -> str:
  return _NONE if value is None else format(value, form)
