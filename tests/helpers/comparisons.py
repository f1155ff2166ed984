"""Tiny configs to compare, and comparisons of them."""

import pathlib

import jax
import pytest

from semppl_jax.tools.comparison import budget, experiments, runner

STEPS = 4


def write(directory, images, name, **fields):
  """A config file of a tiny run with other fields."""
  path = directory / f'{name}.py'
  path.write_text(
    'import pathlib\nfrom tests.helpers import tiny\n'
    'def get_config():\n'
    f'  c = tiny.config(pathlib.Path({str(images)!r}))\n'
    f'  c.update_from_flattened_dict({fields!r})\n'
    '  return c\n'
  )
  return str(path)


def files(directory: pathlib.Path, images: pathlib.Path) -> list[str]:
  """Writes the configs of SemPPL and of the labels alone."""
  return [
    write(directory, images, 'ours', method='semppl'),
    write(directory, images, 'labels', method='supervised'),
  ]


def use_one_device(patched: pytest.MonkeyPatch) -> None:
  """Makes runs take one device, for which they compile sooner."""
  devices = jax.devices()[:1]
  patched.setattr(jax, 'devices', lambda *args: devices)


def comparison(files, text=f'{STEPS} steps', seeds=1, evaluations=2, **fields):
  return runner.Comparison(
    entries=tuple(experiments.load(files)),
    budget=budget.parse(text),
    seeds=seeds,
    evaluations=evaluations,
    **fields,
  )
