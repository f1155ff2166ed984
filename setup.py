"""Builds the package; its metadata stands in `pyproject.toml`."""

import setuptools

PACKAGES = setuptools.find_packages(include=['semppl_jax', 'semppl_jax.*'])

setuptools.setup(
  packages=[*PACKAGES, 'semppl_jax.configs', 'semppl_jax.configs.evaluate']
)
