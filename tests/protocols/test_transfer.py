"""Transfer to sets that tensorflow_datasets prepared, whole."""

import pytest

from semppl_jax.exchange import weights_dir
from semppl_jax.protocols import runner
from tests.helpers import tiny
from tests.helpers.evaluations import make_context
from tests.helpers.prepared_sets import prepare
from tests.helpers.tiny import weights


@pytest.mark.slow
def test_each_set_is_judged_by_its_metric(images, tmp_path, monkeypatch):
  shades = [n % 10 for n in range(40)]
  prepare(tmp_path, 'cifar10', {'train': shades, 'test': shades[:20]})
  several = [[n % 20, (n + 1) % 20] for n in range(40)]
  parts = {'train': several, 'validation': several, 'test': several[:20]}
  prepare(tmp_path, 'voc/2007', parts, labels_no_difficult=parts)
  weights_dir.write(
    tmp_path / 'tiny', weights(tiny.config(images), ('projector',))
  )
  fields = {
    'transfer.path': str(tmp_path),
    'transfer.finetune': True,
    'transfer.regularisers': (1e-3, 1.0),
  }
  context = make_context(images, tmp_path / 'tiny', tmp_path / 'out', **fields)
  result = runner.run(context, 'transfer', False)
  figures = result.content['protocols']['transfer']['figures']
  assert figures.keys() == {
    'transfer/cifar10/top1',
    'transfer/cifar10/finetune/top1',
    'transfer/voc2007/map11',
  }
  assert all(0 <= value <= 1 for value in figures.values())
  sweeps = result.content['sweeps']
  assert sweeps['weights, transfer/cifar10']['chosen'] in (1e-3, 1.0)
  assert 'transfer/cifar10/finetune' in sweeps
