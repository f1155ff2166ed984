"""A whole run in seconds: real images, a small network, few steps."""

import io
import os
import pathlib
import signal

import jax
import ml_collections
import numpy as np
from PIL import Image

from configs import quickstart
from semppl_jax.models.network import make_network
from semppl_jax.models.weights import Preprocessing, Weights
from semppl_jax.runtime import signals

CLASSES = ('bright', 'dark')


def write_images(root: pathlib.Path, each: int = 24) -> None:
  """Two classes that brightness tells apart, files of 8 to 12 px."""
  rng = np.random.default_rng(0)
  for place, name in enumerate(CLASSES):
    (root / name).mkdir(parents=True)
    for n in range(each):
      shape = (8 + n % 5, 12 - n % 3, 3)
      pixels = rng.integers(0, 120, shape) + 120 * (1 - place)
      stream = io.BytesIO()
      Image.fromarray(pixels.astype(np.uint8)).save(stream, 'PNG')
      (root / name / f'{n:02}.png').write_bytes(stream.getvalue())


def config(
  root: pathlib.Path,
  steps: int = 8,
  method: str = 'semppl',
  colors: bool = False,
) -> ml_collections.ConfigDict:
  """A run of `steps` steps on the images of `write_images`.

  Operations on colors take a third of the time to compile, and have tests of
  their own.
  """
  c = quickstart.get_config()
  c.method = method
  c.batch_size = 16
  c.duration = f'{steps} steps'
  c.log_every = '1 steps'
  c.data.update(
      kind='folder', path=str(root / 'train'), test_path=str(root / 'test'),
      labels='per_class:6', labelled_per_batch=0,
  )  # fmt: skip
  c.views.large.size = 8
  c.views.small.update(count=1, size=8)
  if not colors:
    c.augment.update(
      jitter=0.0, grayscale=0.0, blur=(0.0, 0.0), solarize=(0.0, 0.0)
    )
  c.network.projector.update(hidden=16, output=8)
  c.network.predictor.hidden = 16
  c.semppl.update(queue='32 rows', k=1, num_negatives=4)
  c.support.update(classes_per_batch=2, images_per_class=4)
  # Adam turns the rounding of a gradient that is zero, as of a bias before
  # batch norm, into whole steps; so does LARS at a rate that biases feel.
  c.optimizer.update(
    name='lars', learning_rate=0.01, trust_coefficient=0.1, warmup='2 steps'
  )
  c.eval.update(
      every='4 steps', k=(1, 5), headline_k=5, batch_size=16, resize=8, crop=8,
      baselines=False,
  )  # fmt: skip
  c.checkpoint.every = '2 steps'
  return c


def stop_after(patched, step: int) -> None:
  """Sends this process SIGTERM in the middle of a step; a `MonkeyPatch`."""
  asked = signals.Interrupts.should_stop

  def note(self, now):
    if now == step:
      os.kill(os.getpid(), signal.SIGTERM)
    return asked(self, now)

  patched.setattr(signals.Interrupts, 'should_stop', note)


def final_state(config, workdir, devices=None):
  """The state in the newest checkpoint, on the host, with its step."""
  from semppl_jax.training import aot, checkpoint, experiment

  built = experiment.build(config, devices)
  saved = checkpoint.Checkpointer(
    pathlib.Path(workdir), experiment.identity(built), config.checkpoint.keep
  )
  like = aot.abstract_state(built.step)
  step = saved.latest_step()
  state = jax.device_get(saved.restore(step, like))
  saved.close()
  return step, state


def assert_resumes_the_same(config, root, patched, devices, step=5) -> None:
  """A run that is stopped after `step` ends as one that is not.

  Args:
    config: its config, of more steps.
    root: where the runs go, as `straight` and `stopped`.
    patched: a `MonkeyPatch`.
    devices: the devices.
    step: where it stops.
  """
  from semppl_jax.training import loop

  loop.run(config, root / 'straight', devices)
  with patched.context() as interrupted:
    stop_after(interrupted, step)
    assert loop.run(config, root / 'stopped', devices) is None
  loop.run(config, root / 'stopped', devices)
  assert_same(
    final_state(config, root / 'straight', devices),
    final_state(config, root / 'stopped', devices),
  )


def assert_same(one, two) -> None:
  """Every array equal, bit for bit."""
  jax.tree.map(np.testing.assert_array_equal, one, two)


def assert_close(one, two, rtol=2e-4, atol=2e-5) -> None:
  """Every array equal to float tolerance, every integer exactly.

  A sum carries the rounding of its terms: a value near zero may differ by
  `rtol` of the largest value of its array.
  """

  def compare(a, b):
    if np.issubdtype(np.asarray(a).dtype, np.integer):
      np.testing.assert_array_equal(a, b)
    else:
      largest = np.max(np.abs(b), initial=0.0)
      np.testing.assert_allclose(
        a, b, rtol=rtol, atol=max(atol, rtol * largest)
      )

  jax.tree.map(compare, one, two)


def weights(config, heads=('projector', 'predictor'), seed=5) -> Weights:
  """Untrained weights of a config's network, with averages that are not 0."""
  network = make_network(config.network, heads=heads, bn_groups='view')
  size = config.views.large.size
  views = (jax.numpy.zeros((2, 1, size, size, 3)),)
  params, state = jax.device_get(network.init(jax.random.key(seed), views))
  rng = np.random.default_rng(seed)

  def fill(path, x):
    if np.issubdtype(x.dtype, np.integer):
      return np.full_like(x, 10**6)
    low, high = (0.5, 1.5) if 'var_ema' in path[0].key else (-0.1, 0.1)
    return rng.uniform(low, high, x.shape).astype(x.dtype)

  return Weights(
    network=config.network,
    params=params,
    net_state=jax.tree_util.tree_map_with_path(fill, state),
    preprocessing=Preprocessing(8, 8, 'bilinear', (0.5,) * 3, (0.5,) * 3),
    class_names=CLASSES,
    origin='tiny weights',
  )
