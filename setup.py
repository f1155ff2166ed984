"""Installs semppl_jax: `pip install -e .` (extras: tpu, cuda, test)."""

import pathlib

import setuptools

ROOT = pathlib.Path(__file__).parent


def _requirements() -> list[str]:
  lines = (ROOT / 'requirements.txt').read_text().splitlines()
  bare = (line.split('#')[0].strip() for line in lines)
  return [line for line in bare if line]


setuptools.setup(
  name='semppl_jax',
  version='0.1.0',
  description='Semi-supervised pre-training with SemPPL in JAX and Haiku.',
  license='Apache-2.0',
  packages=setuptools.find_packages(
    include=['configs', 'semppl_jax', 'semppl_jax.*']
  ),
  package_data={'semppl_jax': ['data/embedded/*']},
  python_requires='>=3.11,<3.14',
  install_requires=_requirements(),
  extras_require={
    'tpu': ['jax[tpu]'],
    'cuda': ['jax[cuda13]'],
    'test': [
      'hypothesis>=6.100',
      'pre-commit>=4.0',
      'pyright[nodejs]>=1.1.390',
      'pytest>=8.0',
      'pytest-xdist>=3.5',
      'ruff>=0.12',
    ],
  },
)
