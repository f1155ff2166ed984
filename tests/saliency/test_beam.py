"""The Beam pipeline, where Beam is installed (extra [beam])."""

import importlib.util
import pathlib

import pytest

from semppl_jax.data import masks
from semppl_jax.saliency import beam, generate, mask_fn, shards

MAKER = mask_fn.detector_maker('mean', 0.5)


def test_any_runner_writes_the_store_of_one_machine(data, tmp_path):
  pytest.importorskip('apache_beam')
  stores = []
  for name in ('local', 'beam'):
    folder = str(tmp_path / name)
    facts = generate.begin(folder, data, 'images', MAKER)
    cut = shards.split_dataset(data, folder)
    if name == 'local':
      generate.finish(folder, facts, generate.make_all(cut, MAKER, 1))
    else:
      generate.make_file(cut[1], MAKER)  # As if stopped before.
      beam.make_all(folder, facts, cut, 'DirectRunner', [])
    assert masks.read_info(folder, 'here').counts.masks == 39
    stores.append(
      {x.name: x.read_bytes() for x in pathlib.Path(folder).iterdir()}
    )
  assert stores[0] == stores[1]


@pytest.mark.skipif(
  importlib.util.find_spec('apache_beam') is not None, reason='Beam is there'
)
def test_without_beam_the_extra_is_named():
  with pytest.raises(ValueError, match=r'DirectRunner needs Apache Beam: pip'):
    beam.check_installed('DirectRunner')
