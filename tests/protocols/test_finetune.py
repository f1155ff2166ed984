"""Sweeps and training runs on the labelled images."""

import json

import jax
import numpy as np
import pytest

from semppl_jax.exchange import run_checkpoint, weights_dir
from semppl_jax.protocols import runner
from tests.helpers import tiny
from tests.helpers.evaluations import make_context


@pytest.mark.slow
def test_a_sweep_of_suncet_is_judged_by_votes(images, checkpoint, tmp_path):
  fields = {'suncet.learning_rates': (0.01, 1e-5)}
  context = make_context(images, checkpoint, tmp_path, **fields)
  result = runner.run(context, 'suncet', False)
  tried = result.content['sweeps']['suncet']['tried']
  assert all(0 <= each['held_out_top1'] <= 1 for each in tried)


@pytest.mark.slow
def test_paws_is_fine_tuned_from_inside_its_projector(
  images, checkpoint, tmp_path
):
  """At a rate that moves nothing, so that what it starts from is seen."""
  fields = {
    'finetune.classify': 'projector_hidden',
    'finetune.learning_rates': (1e-12,),
  }
  context = make_context(images, checkpoint, tmp_path, **fields)
  runner.run(context, 'finetune', False)
  before = weights_dir.read(checkpoint)
  after = run_checkpoint.read(tmp_path / 'finetune' / 'final')
  assert after.heads == ('projector', 'classifier')
  first = min(
    name
    for name, leaves in after.params.items()
    if 'projector' in name and 'w' in leaves
  )
  np.testing.assert_allclose(
    after.params[first]['w'], before.params[first]['w']
  )
  hidden = before.params[first]['w'].shape[1]
  assert after.params['classifier']['w'].shape == (hidden, len(tiny.CLASSES))


@pytest.mark.slow
def test_a_sweep_is_judged_by_held_out_labels_and_goes_on(
  images, checkpoint, tmp_path
):
  """Also: eight devices give the figures of one."""
  fields = {
    'finetune.learning_rates': (0.01, 1e-5),
    'finetune.batch_size': 8,
    'finetune.duration': '4 epochs',
  }
  found = []
  for devices in (1, 8):
    workdir = tmp_path / str(devices)
    context = make_context(
      images, checkpoint, workdir, jax.devices()[:devices], **fields
    )
    result = runner.run(context, 'finetune', devices == 1)
    sweep = result.content['sweeps']['finetune']['tried']
    assert [x['learning_rate'] for x in sweep] == [0.01, 1e-5]
    ids = {
      name: set(
        (workdir / 'finetune' / f'{name}-labels.txt').read_text().split()
      )
      for name in ('sweep-0', 'sweep-1', 'final')
    }
    assert ids['sweep-0'] == ids['sweep-1'] < ids['final']
    assert len(ids['final']) == 12 and len(ids['sweep-0']) == 10
    found.append(run_checkpoint.read(workdir / 'finetune' / 'final'))
  tiny.assert_close(found[0].params, found[1].params, rtol=2e-3, atol=1e-4)
  baseline = json.loads((tmp_path / '1' / 'evaluation.json').read_text())
  assert 'finetune/top1' in baseline['protocols']['finetune']['baseline']
