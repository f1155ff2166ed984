"""Versions of packages."""

import importlib.metadata

import jax

from semppl_jax.runtime import versions


def test_packages_that_are_not_installed_are_left_out(monkeypatch):
  known = versions.installed()
  assert known['jax'] == jax.__version__ and 'python' in known
  version = importlib.metadata.version

  def without_jax(name):
    if name == 'jax':
      raise importlib.metadata.PackageNotFoundError
    return version(name)

  monkeypatch.setattr(importlib.metadata, 'version', without_jax)
  assert set(known) - set(versions.installed()) == {'jax'}
