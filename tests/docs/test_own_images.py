"""Runs the example of docs/own_images.md from its text."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

import semppl_jax

ROOT = pathlib.Path(semppl_jax.__file__).resolve().parent.parent
TEXT = (ROOT / 'docs' / 'own_images.md').read_text()
BLOCK = re.compile(r'```(bash|python|text)\n(.*?)```', re.DOTALL)


def _blocks():
  """Yields kind and content of each block, with the text before it."""
  end = 0
  for found in BLOCK.finditer(TEXT):
    yield found[1], found[2], TEXT[end : found.start()]
    end = found.end()


def _shape(line):
  """Returns a line without the results that depend on the CPU."""
  line = re.sub(r'\b(airplane|automobile|bird|cat)$', 'class', line)
  return re.sub(r'[\d.]+', '0', ' '.join(line.split()))


def _with_torchvision(folder):
  """Returns a directory for PYTHONPATH that makes torchvision importable."""
  (folder / 'sitecustomize.py').write_text(
    f'import sys\nsys.path.insert(0, {str(ROOT)!r})\n'
    'from tests.helpers import torch_networks\ntorch_networks.torchvision()\n'
  )
  return str(folder)


@pytest.mark.slow
def test_every_command_runs_and_prints_what_the_document_says(
  tmp_path, tmp_path_factory
):
  torchvision = _with_torchvision(tmp_path_factory.mktemp('site'))
  environment = os.environ | {
    'PATH': f'{pathlib.Path(sys.executable).parent}:{os.environ["PATH"]}',
    'PYTHONPATH': '',
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': '',
  }
  output, ran = '', 0
  for kind, content, before in _blocks():
    # A tenth of the training: numbers are not compared.
    content = re.sub(r"(\d)0 steps'", r"\1 steps'", content)
    if kind == 'python':
      (name,) = re.findall(r'is\s+`(\w+\.py)`:\s*$', before)
      (tmp_path / name).write_text(content)
    elif kind == 'bash':
      if 'similar.py' in content:
        environment['PYTHONPATH'] = torchvision
      done = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', content],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
      )  # fmt: skip
      assert done.returncode == 0, f'{content}\n{done.stdout}\n{done.stderr}'
      output, ran = done.stdout, ran + 1
    else:
      printed = {_shape(line) for line in output.splitlines()}
      for line in content.splitlines():
        assert _shape(line) in printed, (line, output)
  assert ran == 6
  page = tmp_path / 'runs' / 'photos' / 'report.html'
  assert 'Their accuracy is unknown' in page.read_text()


def test_the_commands_name_what_the_document_shows():
  """Checks cheaply, for the core tests, that files and links exist."""
  files = re.findall(r'--config=(configs/[\w/]+\.py)', TEXT)
  assert files and all((ROOT / file).exists() for file in files)
  kinds = [kind for kind, *_ in _blocks()]
  assert kinds.count('bash') == 6 and kinds.count('python') == 2
  for link in re.findall(r'\]\(([\w.]+\.md)\)', TEXT):
    assert (ROOT / 'docs' / link).exists(), link
