"""What a run is, for whoever reads its directory: `run.json`.

Written at every start, before the first step, so that it is there whatever
becomes of the run.
"""

import json
import time
from typing import Any

from etils import epath
import numpy as np

from semppl_jax.runtime import files as files_lib, mesh as mesh_lib, versions
from semppl_jax.training.experiment import Experiment

FILE = 'run.json'


def write(workdir: epath.Path, experiment: Experiment, step: int) -> None:
  """Writes the facts of a experiment that goes on from `step`, 0 for a new one."""
  train, test = experiment.splits.train, experiment.splits.test
  classes = len(train.class_names)
  labels = train.labels[experiment.subset.index]
  facts = {
    'method': experiment.method.name,
    'batch_size': experiment.config.batch_size,
    'total_steps': experiment.total_steps,
    'train_images': train.size,
    'labelled_images': len(experiment.subset.index),
    'test_images': test.size if test else 0,
    'class_names': list(train.class_names),
    'labelled_per_class': np.bincount(labels, minlength=classes).tolist(),
    'data': train.fingerprint,
    'data_name': train.name,
    'test_data': test.fingerprint if test else None,
    'label_subset': experiment.subset.hash,
    'masks': train.masks.checksum if train.masks else None,
    'starts': [
      *_starts_before(workdir, step),
      {
        'step': step,
        'time': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        'devices': mesh_lib.describe(experiment.mesh),
        'versions': versions.installed(),
      },
    ],
  }
  text = json.dumps(facts, indent=2) + '\n'
  files_lib.write_text(workdir / FILE, text)


def _starts_before(workdir: epath.Path, step: int) -> list[Any]:
  """Earlier starts; none of a run from 0, or whose file is damaged."""
  try:
    return json.loads((workdir / FILE).read_text())['starts'] if step else []
  except (OSError, ValueError, KeyError, TypeError):
    return []
