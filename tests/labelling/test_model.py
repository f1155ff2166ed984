"""Features and classes of images in memory, in files and in folders."""

import pathlib

import numpy as np
from PIL import Image
import pytest

import semppl_jax
from semppl_jax.exchange import inference, weights_dir
from semppl_jax.runtime.errors import InputError
from tests.helpers import random_weights, tiny


def _files(images):
  return sorted((images / 'test').rglob('*.png'))


def test_features_are_those_of_an_export(foreign):
  pixels = random_weights.pixels(40, 8)
  want = inference.make_host_fn(foreign.weights)(pixels)['features']
  np.testing.assert_allclose(foreign.embed(pixels), want, rtol=1e-4, atol=1e-5)


def test_arrays_paths_and_pictures_are_the_same(foreign, images):
  files = _files(images)[:4]
  pictures = [Image.open(file) for file in files]
  arrays = [np.asarray(picture.convert('RGB')) for picture in pictures]
  want = foreign.embed([str(file) for file in files])
  assert want.shape[0] == 4
  for kind in (files, pictures, arrays):
    np.testing.assert_array_equal(foreign.embed(kind), want)


def test_a_folder_has_the_features_of_its_files(foreign, images):
  data = foreign.list_folder(str(images / 'test'))
  features = foreign.features(data, np.arange(data.size))
  assert data.ids.tolist() == [
    str(file.relative_to(images / 'test')) for file in _files(images)
  ]
  np.testing.assert_allclose(
    features.values['encoder'],
    foreign.embed(_files(images)),
    rtol=1e-4,
    atol=1e-5,
  )
  assert (features.label == -1).all()


def test_the_labelled_images_of_the_run_teach_the_classes(of_run, images):
  predictions = of_run.predict(_files(images))
  assert predictions.class_names == tiny.CLASSES
  true = [file.parent.name for file in _files(images)]
  # Brightness tells the two classes apart.
  assert (
    np.mean([a == b for a, b in zip(predictions.label, true, strict=True)])
    > 0.9
  )
  assert predictions.similarity.max() <= 1 + 1e-5


def test_unlabelled_images_of_a_folder_are_predicted(foreign, images, tmp_path):
  files = _files(images)
  names = [str(file.relative_to(images / 'test')) for file in files]
  labels = tmp_path / 'labels.csv'
  known = [*names[:3], *names[-3:]]
  labels.write_text(
    'path,label\n' + ''.join(f'{x},{x.split("/")[0]}\n' for x in known)
  )
  data = foreign.list_folder(str(images / 'test'), str(labels))
  predictions = foreign.predict_unlabelled(data)
  assert sorted(data.ids[predictions.index]) == sorted({*names} - {*known})
  assert predictions.class_names == tiny.CLASSES


def test_an_unreadable_file_is_left_out(foreign, images, tmp_path):
  for n, file in enumerate(_files(images)[:5]):
    (tmp_path / f'{n}.png').write_bytes(b'' if n == 2 else file.read_bytes())
  data = foreign.list_folder(str(tmp_path))
  features = foreign.features(data, np.arange(data.size))
  assert data.size == 5 and features.index.tolist() == [0, 1, 3, 4]
  assert sorted(foreign.crops(data, np.arange(5))) == [0, 1, 3, 4]


@pytest.mark.parametrize(
  ('bad', 'sentence'),
  [
    (
      np.zeros((8, 8, 3), np.uint8),
      r'images has shape \(8, 8, 3\); it must be',
    ),
    (np.zeros((2, 8, 8, 3)), r'images\[0\] is float64 \[8, 8, 3\]; it must be'),
    (np.zeros((2, 8, 8, 1), np.uint8), r'it must be uint8 \[H, W, 3\]'),
    ([], 'images is empty'),
    ('a.png', 'images is of type str; it must be an array'),
    (['nowhere.png'], r"images\[0\]='nowhere.png' cannot be read"),
    ([3], r'images\[0\] cannot be read'),
  ],
  ids=str,
)
def test_bad_images_are_one_sentence(foreign, bad, sentence):
  with pytest.raises(InputError, match=sentence):
    foreign.embed(bad)


def test_nothing_to_learn_from_is_one_sentence(foreign, images):
  with pytest.raises(InputError, match='no classifier, and no labelled image'):
    foreign.predict(_files(images))
  with pytest.raises(InputError, match='--by=knn needs labelled images'):
    foreign.predict(_files(images), by='knn')
  with pytest.raises(InputError, match='the network has no classifier'):
    foreign.predict(_files(images), by='classifier')


def test_nothing_is_embedded_before_the_mistakes_are_named(
  foreign, images, monkeypatch
):
  monkeypatch.setattr(foreign, 'features', None)
  data = foreign.list_folder(str(images / 'test'))
  with pytest.raises(InputError, match='--by=forest must be one of'):
    foreign.predict_unlabelled(data, 'forest')
  known = data._replace(labels=np.zeros(data.size, np.int32))
  with pytest.raises(InputError, match='has no unlabelled image: all 18 have'):
    foreign.predict_unlabelled(known)


def test_it_is_loaded_by_one_call(images, tmp_path):
  weights = tiny.weights(tiny.config(images), ())
  weights_dir.write(tmp_path / 'weights', weights)
  model = semppl_jax.load(tmp_path / 'weights')
  assert model.embed(_files(images)[:2]).shape[0] == 2
  with pytest.raises(InputError, match='not found'):
    semppl_jax.load(pathlib.Path('nowhere'))
