"""Weights, data and config of an evaluation, checked before any work."""

import jax
import pytest

from semppl_jax.protocols import setup
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError
from tests.helpers import tiny
from tests.helpers.evaluations import make_config, make_context
from tests.helpers.tiny import weights


def test_an_evaluation_is_not_cut_into_the_parts_of_its_run(images):
  run = tiny.config(images)
  run.accumulate = 8
  made = weights(run, ('projector',))._replace(config=run)
  mesh = mesh_lib.make_mesh(jax.devices()[:2])
  found = setup.training_config(make_config(images), made, mesh)
  assert found.accumulate == 1


def _hidden(folder):
  """A test folder whose images have no class."""
  (folder / 'unlabelled').mkdir(parents=True)
  tiny.write_images(folder / 'made')
  for path in (folder / 'made').glob('*/*.png'):
    path.rename(folder / 'unlabelled' / f'{path.parent.name}{path.name}')
  for path in (folder / 'made').iterdir():
    path.rmdir()
  (folder / 'made').rmdir()
  return folder


def test_a_test_set_that_hides_its_labels_is_refused(
  images, checkpoint, tmp_path
):
  hidden = str(_hidden(tmp_path / 'hidden'))
  with pytest.raises(InputError, match='has no labels: all 48 are -1'):
    make_context(images, checkpoint, tmp_path, **{'data.test_path': hidden})


def test_an_empty_class_is_refused(images, checkpoint, tmp_path):
  some = sorted((images / 'train' / 'dark').iterdir())
  (tmp_path / 'ids').write_text('\n'.join(f'dark/{p.name}' for p in some))
  with pytest.raises(InputError, match=r"without a labelled image.*'bright'"):
    make_context(
      images, checkpoint, tmp_path, **{'data.labels': f'ids:{tmp_path}/ids'}
    )


@pytest.mark.parametrize(
  'fields, sentence',
  [
    ({'data.kind': 'run'}, "kind='run', but tiny weights is not from a run"),
    ({'data.test_path': ''}, 'There is no test set'),
    ({'images.crop': 64}, r'config\.images\.crop=64'),
    ({'held_out': 1.5}, r'config\.held_out=1\.5 must be above 0'),
    ({'finetune.optimizer': 'sdg'}, "did you mean 'sgd'"),
    ({'linear.duration': 'long'}, r"config\.linear\.duration='long'"),
    ({'finetune.classify': 'pixels'}, r'config\.finetune\.classify'),
    ({'knn.support': ('test',)}, r'config\.knn\.support'),
  ],
)
def test_impossible_settings_are_one_sentence(
  images, checkpoint, tmp_path, fields, sentence
):
  with pytest.raises(InputError, match=sentence):
    make_context(images, checkpoint, tmp_path, **fields)
