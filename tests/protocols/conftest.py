"""One evaluation by all protocols, shared by the tests."""

import pytest

from semppl_jax.evaluators import corruptions, metrics
from semppl_jax.exchange import weights_dir
from semppl_jax.protocols import runner
from tests.helpers import tiny
from tests.helpers.evaluations import make_context
from tests.helpers.tiny import weights


@pytest.fixture(scope='session')
def checkpoint(images, tmp_path_factory):
  path = tmp_path_factory.mktemp('weights') / 'tiny'
  weights_dir.write(path, weights(tiny.config(images), ('projector',)))
  return path


@pytest.fixture(scope='session')
def everything(images, checkpoint, tmp_path_factory):
  """All protocols: the working directory and the result."""
  workdir = tmp_path_factory.mktemp('evaluation')
  context = make_context(images, checkpoint, workdir)
  with pytest.MonkeyPatch.context() as patch:
    # Each corruption at each severity is one more pass over the images.
    patch.setattr(corruptions, 'NAMES', ('brightness', 'contrast'))
    patch.setattr(metrics, 'SEVERITIES', (1, 5))
    before = context.run.to_json(), context.weights.network.to_json()
    result = runner.run(context, 'all', False)
  # What one protocol sets for itself must not reach the next.
  assert before == (context.run.to_json(), context.weights.network.to_json())
  return workdir, result
