"""Training of the mask network: stages, averages, and resuming."""

import jax
import numpy as np
import pytest

from semppl_jax.runtime.errors import NonFiniteError
from semppl_jax.saliency import (
  network,
  network_io,
  train,
  training_data,
)
from tests.helpers.mask_networks import init, SMALL
from tests.helpers.scenes import disc

SLOW = pytest.mark.slow


@pytest.fixture(scope='module')
def training_set():
  """Discs of many places, their masks as both detectors' maps."""
  rng = np.random.default_rng(0)
  images, maps = [], []
  for seed in range(96):
    y, x = rng.integers(8, 25, 2)
    image, inside = disc(32, 32, y, x, rng.integers(4, 8), seed)
    noisy = 255 * (inside[::2, ::2] ^ (rng.random((16, 16)) < 0.1))
    images.append(image)
    maps.append(np.stack([noisy, 255 * inside[::2, ::2]], -1))
  return training_data.TrainingSet(np.array(images), np.array(maps, np.uint8))


@SLOW
def test_it_learns_discs(training_set, tmp_path):
  file = str(tmp_path / 'network.safetensors')
  epochs = train.Epochs(noisy=12, refined=2, fused=4)
  network_io.write(file, *train.train(training_set, SMALL, epochs))
  detect = network_io.load_detector(file)
  for seed in range(5):
    image, inside = disc(60, 80, 20 + 4 * seed, 50 - 5 * seed, 14, 100 + seed)
    found = detect(image)
    assert found.shape == (60, 80) and found.dtype == np.float32
    cut = found > 0.5
    assert (cut & inside).sum() > 0.7 * (cut | inside).sum()


@pytest.mark.slow
def test_learning_is_a_function_of_the_seed(training_set):
  epochs = train.Epochs(noisy=1, refined=1, fused=1)
  some = training_data.TrainingSet(*(x[:32] for x in training_set))
  runs = [train.train(some, SMALL, epochs, seed)[1] for seed in (0, 0, 1)]
  leaves = [jax.tree.leaves(run) for run in runs]
  for a, b in zip(*leaves[:2], strict=True):
    np.testing.assert_array_equal(a, b)
  assert any((a != b).any() for a, b in zip(*leaves[1:], strict=True))


def test_predictions_are_averaged(training_set):
  """Those of the image as it is, although the network saw it flipped."""
  some = training_data.TrainingSet(*(x[: train.BATCH] for x in training_set))
  begun = train._init(some, SMALL, 0)
  now, _ = train._train_epoch(begun, some.images, SMALL, lambda step: 0.0, 0, 0)
  got = now.averages - train.AVERAGE_DECAY * some.maps.astype(np.float32) / 255
  [(rows, flip)] = train._batches(len(some.images), 0, 0)
  assert 0 < flip.sum() < len(flip)
  seen = train.flip_columns(some.images[rows], flip)
  want = jax.jit(network.make_network(SMALL).apply)(begun.state.params, seen)
  np.testing.assert_allclose(
    got[rows] / (1 - train.AVERAGE_DECAY),
    train.flip_columns(jax.nn.sigmoid(want), flip),
    atol=1e-5,
  )


def test_stages_learn_from_averages(training_set):
  begun = train._init(training_set, SMALL, 0)
  now = begun._replace(averages=begun.averages * 0.5 + 0.25)
  refined = train._begin_stage(now, 'refined')
  np.testing.assert_array_equal(
    refined.targets, np.where(training_set.maps > 127, 191, 64)
  )
  fused = train._begin_stage(now, 'fused')
  want = np.rint(255 * now.averages.mean(-1, keepdims=True))
  np.testing.assert_array_equal(fused.targets, want)


def test_one_head_is_the_mean_of_all():
  params, images = init(), np.full((1, 32, 32, 3), 9, np.uint8)
  one = SMALL._replace(heads=('fused',))
  np.testing.assert_allclose(
    network.make_network(one).apply(train.fuse_heads(params), images)[..., 0],
    network.make_network(SMALL).apply(params, images).mean(-1),
    atol=1e-6,
  )


@pytest.mark.parametrize('epochs', [(0, 1, 1), (1, 0, 1), (1, 1, 0)], ids=str)
def test_a_stage_may_be_left_out(training_set, epochs):
  some = training_data.TrainingSet(*(x[: train.BATCH] for x in training_set))
  settings, params = train.train(some, SMALL, train.Epochs(*epochs))
  assert settings.heads == ('fused',) and params['heads']['w'].shape[-1] == 1


@pytest.mark.parametrize(
  'stopped', [3, *(pytest.param(x, marks=SLOW) for x in (1, 2, 5, 6))]
)
def test_what_was_stopped_goes_on_bit_for_bit(
  training_set, tmp_path, monkeypatch, stopped
):
  some = training_data.TrainingSet(*(x[:32] for x in training_set))
  epochs = train.Epochs(2, 2, 2)
  want = train.train(some, SMALL, epochs)
  checkpoint = (str(tmp_path / 'progress.npz'), 'about')
  write, written = train.write_progress, []

  def stop(*arguments):
    write(*arguments)
    written.append(arguments)
    if len(written) == stopped:
      raise KeyboardInterrupt

  monkeypatch.setattr(train, 'write_progress', stop)
  with pytest.raises(KeyboardInterrupt):
    train.train(some, SMALL, epochs, checkpoint=checkpoint)
  got = train.train(some, SMALL, epochs, checkpoint=checkpoint)
  assert len(written) == 6 and got[0] == want[0]
  jax.tree.map(np.testing.assert_array_equal, got[1], want[1])
  # A checkpoint of another training is ignored.
  train.train(some, SMALL, epochs, checkpoint=(checkpoint[0], 'other'))
  assert len(written) == 12


def test_too_few_images_are_named(training_set):
  few = training_data.TrainingSet(*(x[:15] for x in training_set))
  with pytest.raises(ValueError, match='at least 16 images, and 15 can be'):
    train.train(few, SMALL, train.Epochs())


def test_a_loss_that_is_no_number_stops(training_set, monkeypatch):
  monkeypatch.setitem(train.LEARNING_RATES, 'noisy', float('nan'))
  with pytest.raises(NonFiniteError, match=r'is nan in epoch 1 \(noisy\)'):
    train.train(training_set, SMALL, train.Epochs())


def test_a_flip_is_undone():
  x = np.arange(2 * 3 * 4 * 1, dtype=np.float32).reshape(2, 3, 4, 1)
  flip = np.array([True, False])
  once = train.flip_columns(x, flip)
  np.testing.assert_array_equal(once[0], x[0, :, ::-1])
  np.testing.assert_array_equal(train.flip_columns(once, flip), x)


@pytest.mark.parametrize(
  'epochs', [['8', '4'], ['a', '1', '2'], ['0'] * 3, ['-1', '1', '1']]
)
def test_epochs_that_cannot_be(epochs):
  with pytest.raises(ValueError, match=r'--epochs=.* three whole numbers'):
    train.parse_epochs(epochs)
