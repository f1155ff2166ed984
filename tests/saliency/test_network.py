"""The mask network: its shape, its file, its maps, and that it learns."""

import jax
import numpy as np
import pytest
from scipy.spatial import distance

from semppl_jax.data import dataset
from semppl_jax.runtime.errors import NonFiniteError
from semppl_jax.saliency import (
  contact_sheet,
  images as images_lib,
  mask_fn,
  network,
  network_io,
  predict,
  progress,
  pupil,
  train,
  training_data,
)
from tests.helpers.scenes import disc

SLOW = pytest.mark.slow
HEADS = ('boundary', 'barrier')
SMALL = network.Settings(HEADS, side=32)


def first(settings=SMALL, seed=0):
  image = np.zeros((1, settings.side, settings.side, 3), np.uint8)
  return jax.jit(network.make(settings).init)(jax.random.key(seed), image)


@pytest.fixture(scope='module')
def taught():
  """Discs of many places, their masks as both detectors' maps."""
  rng = np.random.default_rng(0)
  images, maps = [], []
  for seed in range(96):
    y, x = rng.integers(8, 25, 2)
    image, inside = disc(32, 32, y, x, rng.integers(4, 8), seed)
    noisy = 255 * (inside[::2, ::2] ^ (rng.random((16, 16)) < 0.1))
    images.append(image)
    maps.append(np.stack([noisy, 255 * inside[::2, ::2]], -1))
  return training_data.Lessons(np.array(images), np.array(maps, np.uint8))


@pytest.fixture(scope='module')
def file(tmp_path_factory):
  """A network that has learned nothing."""
  path = str(tmp_path_factory.mktemp('network') / 'network.safetensors')
  network_io.write(path, SMALL, first())
  return path


def test_a_map_for_each_head():
  logits = jax.jit(network.make(SMALL).apply)(
    first(), np.zeros((3, 32, 32, 3), np.uint8)
  )
  assert logits.shape == (3, 16, 16, 2) and logits.dtype == np.float32


@pytest.mark.parametrize('side', [16, 32])
def test_strangeness_is_the_distance_from_the_colours_of_a_side(side):
  colours = np.random.default_rng(0).normal(size=(2, side, side, 3))
  got = network.strangeness(jax.numpy.asarray(colours, np.float32))
  rim = max(side // 12, 1)
  for image, found in zip(colours, got, strict=True):
    sides = image[:rim], image[-rim:], image[:, :rim], image[:, -rim:]
    for number, along in enumerate(sides):
      pixels = along.reshape(-1, 3)
      spread = np.cov(pixels.T, bias=True) + 0.025**2 * np.eye(3)
      want = [
        distance.mahalanobis(x, pixels.mean(0), np.linalg.inv(spread)) ** 2
        for x in image.reshape(-1, 3)
      ]
      np.testing.assert_allclose(
        np.expm1(found[..., number]).ravel(), want, rtol=1e-3
      )


def test_no_colour_is_strange_in_a_plain_image():
  plain = np.full((1, 32, 32, 3), 0.3, np.float32)
  np.testing.assert_allclose(network.strangeness(plain), 0, atol=1e-6)


def test_the_map_of_an_image_is_of_that_image_alone():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
  apply = jax.jit(network.make(SMALL).apply)
  whole = apply(first(), images)
  for one, want in zip(images, whole, strict=True):
    np.testing.assert_allclose(apply(first(), one[None])[0], want, atol=1e-5)


@SLOW
def test_it_learns_discs(taught, tmp_path):
  file = str(tmp_path / 'network.safetensors')
  course = train.Course(noisy=12, refined=2, fused=4)
  network_io.write(file, *train.learn(taught, SMALL, course))
  detect = predict.load(file)
  for seed in range(5):
    image, inside = disc(60, 80, 20 + 4 * seed, 50 - 5 * seed, 14, 100 + seed)
    found = detect(image)
    assert found.shape == (60, 80) and found.dtype == np.float32
    cut = found > 0.5
    assert (cut & inside).sum() > 0.7 * (cut | inside).sum()


def test_learning_is_a_function_of_the_seed(taught):
  course = train.Course(noisy=1, refined=1, fused=1)
  some = training_data.Lessons(*(x[:32] for x in taught))
  runs = [train.learn(some, SMALL, course, seed)[1] for seed in (0, 0, 1)]
  leaves = [jax.tree.leaves(run) for run in runs]
  for a, b in zip(*leaves[:2], strict=True):
    np.testing.assert_array_equal(a, b)
  assert any((a != b).any() for a, b in zip(*leaves[1:], strict=True))


def test_predictions_are_averaged(taught):
  """Those of the image as it is, although the network saw it flipped."""
  some = training_data.Lessons(*(x[: train.BATCH] for x in taught))
  begun = train._begun(some, SMALL, 0)
  now, _ = train._pass(begun, some.images, SMALL, lambda step: 0.0, 0, 0)
  got = now.averages - train.KEEP * some.maps.astype(np.float32) / 255
  [(rows, flip)] = train._batches(len(some.images), 0, 0)
  assert 0 < flip.sum() < len(flip)
  seen = pupil.flipped(some.images[rows], flip)
  want = jax.jit(network.make(SMALL).apply)(begun.state.params, seen)
  np.testing.assert_allclose(
    got[rows] / (1 - train.KEEP),
    pupil.flipped(jax.nn.sigmoid(want), flip),
    atol=1e-5,
  )


def test_stages_learn_from_averages(taught):
  begun = train._begun(taught, SMALL, 0)
  now = begun._replace(averages=begun.averages * 0.5 + 0.25)
  refined = train._entered(now, 'refined', SMALL)
  np.testing.assert_array_equal(
    refined.targets, np.where(taught.maps > 127, 191, 64)
  )
  fused = train._entered(now, 'fused', SMALL)
  want = np.rint(255 * now.averages.mean(-1, keepdims=True))
  np.testing.assert_array_equal(fused.targets, want)


def test_one_head_is_the_mean_of_all():
  params, images = first(), np.full((1, 32, 32, 3), 9, np.uint8)
  one = SMALL._replace(heads=('fused',))
  np.testing.assert_allclose(
    network.make(one).apply(train.with_one_head(params), images)[..., 0],
    network.make(SMALL).apply(params, images).mean(-1),
    atol=1e-6,
  )


@pytest.mark.parametrize('course', [(0, 1, 1), (1, 0, 1), (1, 1, 0)], ids=str)
def test_a_stage_may_be_left_out(taught, course):
  some = training_data.Lessons(*(x[: train.BATCH] for x in taught))
  settings, params = train.learn(some, SMALL, train.Course(*course))
  assert settings.heads == ('fused',) and params['heads']['w'].shape[-1] == 1


@pytest.mark.parametrize(
  'stopped', [3, *(pytest.param(x, marks=SLOW) for x in (1, 2, 5, 6))]
)
def test_what_was_stopped_goes_on_bit_for_bit(
  taught, tmp_path, monkeypatch, stopped
):
  some = training_data.Lessons(*(x[:32] for x in taught))
  course = train.Course(2, 2, 2)
  want = train.learn(some, SMALL, course)
  keep = (str(tmp_path / 'progress.npz'), 'about')
  write, written = progress.write, []

  def stop(*arguments):
    write(*arguments)
    written.append(arguments)
    if len(written) == stopped:
      raise KeyboardInterrupt

  monkeypatch.setattr(progress, 'write', stop)
  with pytest.raises(KeyboardInterrupt):
    train.learn(some, SMALL, course, keep=keep)
  got = train.learn(some, SMALL, course, keep=keep)
  assert len(written) == 6 and got[0] == want[0]
  jax.tree.map(np.testing.assert_array_equal, got[1], want[1])
  # Of other lessons, it is none.
  train.learn(some, SMALL, course, keep=(keep[0], 'other'))
  assert len(written) == 12


def test_too_few_images_are_named(taught):
  few = training_data.Lessons(*(x[:15] for x in taught))
  with pytest.raises(ValueError, match='at least 16 images, and 15 can be'):
    train.learn(few, SMALL, train.Course())


def test_a_loss_that_is_no_number_stops(taught, monkeypatch):
  monkeypatch.setitem(train.RATES, 'noisy', float('nan'))
  with pytest.raises(NonFiniteError, match=r'is nan in epoch 1 \(noisy\)'):
    train.learn(taught, SMALL, train.Course())


def test_a_flip_is_undone():
  x = np.arange(2 * 3 * 4 * 1, dtype=np.float32).reshape(2, 3, 4, 1)
  flip = np.array([True, False])
  once = pupil.flipped(x, flip)
  np.testing.assert_array_equal(once[0], x[0, :, ::-1])
  np.testing.assert_array_equal(pupil.flipped(once, flip), x)


@pytest.mark.parametrize('shape', [(1, 1), (1, 300), (7, 5), (90, 120)])
def test_every_image_has_a_map(file, shape):
  detect = predict.load(file)
  image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
  found = detect(image)
  assert found.shape == shape
  assert found.min() >= 0 and found.max() <= 1
  plain = detect(np.full((*shape, 3), 90, np.uint8))
  assert not plain.any()


def test_a_file_is_read_as_it_was_written(tmp_path):
  path = str(tmp_path / 'network.safetensors')
  network_io.write(path, SMALL, first())
  settings, params = network_io.read(path)
  assert settings == SMALL
  for a, b in zip(
    jax.tree.leaves(params), jax.tree.leaves(first()), strict=True
  ):
    np.testing.assert_array_equal(a, b)


def test_files_that_are_none_are_named(tmp_path):
  from safetensors.numpy import save_file

  path = tmp_path / 'x.safetensors'
  with pytest.raises(ValueError, match=r'--network=.* is no file of a mask'):
    network_io.read(str(path))
  path.write_bytes(b'nothing')
  with pytest.raises(ValueError, match=r'--network=.* is no file of a mask'):
    network_io.read(str(path))
  save_file({'a': np.zeros(2)}, path)
  with pytest.raises(ValueError, match='of a mask network of version 1'):
    network_io.read(str(path))
  save_file({'a': np.zeros(2)}, path, {'mask_network': '[1]'})
  with pytest.raises(ValueError, match='of a mask network of version 1'):
    network_io.read(str(path))
  params = first()
  params['heads']['w'] = params['heads']['w'][..., :1]
  network_io.write(str(path), SMALL, params)
  with pytest.raises(ValueError, match='has not the weights'):
    network_io.read(str(path))
  params['heads']['w'] = np.full_like(first()['heads']['w'], np.nan)
  network_io.write(str(path), SMALL, params)
  with pytest.raises(ValueError, match='some of its weights are no numbers'):
    network_io.read(str(path))
  for wrong in (SMALL._replace(side=40), SMALL._replace(width=6)):
    network_io.write(str(path), wrong, first())
    with pytest.raises(ValueError, match='a multiple of'):
      network_io.read(str(path))
  with pytest.raises(ValueError, match='is no file of a mask network'):
    network_io.read(str(tmp_path))  # A folder.
  network_io.write(str(path), SMALL, first())
  path.write_bytes(path.read_bytes()[:-100])
  with pytest.raises(ValueError, match='is no file of a mask network'):
    network_io.read(str(path))


def test_a_maker_knows_its_network(file, tmp_path):
  maker = mask_fn.of_network(file, 0.4)
  image, _ = disc()
  found = mask_fn.saliency(maker)(image)
  np.testing.assert_array_equal(mask_fn.make(maker)(image), found > 0.4)
  panels = contact_sheet._panels(image, found, maker)
  np.testing.assert_array_equal(panels['network'], found)
  network_io.write(str(tmp_path / 'other'), SMALL, first(seed=1))
  moved = maker | {'network': str(tmp_path / 'other')}
  with pytest.raises(ValueError, match='has changed since the masks were'):
    mask_fn.make(moved)
  assert mask_fn.same(maker, moved)  # Wherever the file is.
  assert not mask_fn.same(maker, maker | {'hash': 'other'})
  assert not mask_fn.same(maker, mask_fn.of_detector('mean', 0.4))
  with pytest.raises(ValueError, match='threshold=1'):
    mask_fn.of_network(file, 1.0)


def test_lessons_are_made_once(place, tmp_path, monkeypatch, caplog):
  data = dataset.load(images_lib.of(place)).train
  monkeypatch.setattr(training_data, '_PIECE', 15)
  seen = []
  detect = training_data.detectors.detect
  monkeypatch.setattr(
    training_data.detectors, 'detect', lambda *x: seen.append(x) or detect(*x)
  )

  def made(name='x'):
    seen.clear()
    plan = training_data.plan(str(tmp_path), data, name, 100, SMALL)
    return training_data.collect(plan, 1)

  whole = made()
  assert whole.images.shape == (39, 32, 32, 3)  # Of 40, one is unreadable.
  assert whole.maps.shape == (39, 16, 16, 2) and len(seen) == 39
  assert whole.maps.min() == 0 and whole.maps.max() == 255
  assert '1 of 40 images cannot be read.' in caplog.text
  # The piece of the unreadable one alone: it may be readable now.
  jax.tree.map(np.testing.assert_array_equal, made(), whole)
  assert len(seen) in (9, 14)
  (tmp_path / 'lessons-00001.npz').write_bytes(b'cut short')
  jax.tree.map(np.testing.assert_array_equal, made(), whole)
  assert len(seen) > 14
  made('y')  # Of other images, they are made anew.
  assert len(seen) == 39


def test_a_network_is_not_written_over(file, tmp_path):
  settings, params = network_io.read(file)
  path = str(tmp_path / 'network.safetensors')
  assert not network_io.is_made(path, 'this')
  network_io.write(path, settings, params, 'this')
  assert network_io.is_made(path, 'this')
  with pytest.raises(ValueError, match='learned from other images, or another'):
    network_io.is_made(path, 'that')


@pytest.mark.parametrize(
  'epochs', [['8', '4'], ['a', '1', '2'], ['0'] * 3, ['-1', '1', '1']]
)
def test_epochs_that_cannot_be(epochs):
  with pytest.raises(ValueError, match=r'--epochs=.* three whole numbers'):
    train.course(epochs)
