"""Trained network that embeds images and predicts their classes."""

from collections.abc import Iterator, Sequence
import io
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from semppl_jax.config import loading
from semppl_jax.data import dataset as dataset_lib, labels, pillow, pipeline
from semppl_jax.data.dataset import Dataset
from semppl_jax.data.pipeline import EvalBatch
from semppl_jax.data.sources.folder import read_folder
from semppl_jax.evaluators import features as features_lib
from semppl_jax.evaluators.features import Features
from semppl_jax.exchange import load as load_lib, sample_images
from semppl_jax.labelling import classify
from semppl_jax.labelling.classify import Labelled, Predictions
from semppl_jax.models.network import make_network
from semppl_jax.models.weights import Weights
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import InputError

# Images of a forward pass.
_BATCH = 32
_NO_LIMIT = (2**31, 2**31)


class Model:
  """Network with its preprocessing.

  `embed` and `predict` take uint8 images [n, H, W, 3]: of the network's size as
  they are, of another size through the center crop of an evaluation. A list may
  hold such images [H, W, 3], paths of files and Pillow images.

  Attributes:
    weights: its weights.
  """

  def __init__(self, weights: Weights):
    """Puts the weights on the devices."""
    self.weights = weights
    self._mesh = mesh_lib.make_mesh(jax.devices()[:1])
    network = make_network(
      weights.network, heads=weights.heads, bn_groups='view'
    )
    self._embed = features_lib.make_embed(
      weights.preprocessing, network, self._mesh, ('encoder', 'logits')
    )
    replicated = mesh_lib.replicated(self._mesh)
    self._params = jax.device_put(weights.params, replicated)
    self._net_state = jax.device_put(weights.net_state, replicated)
    self._labelled: Labelled | None = None

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names of the classes of the network [C]; () where they are unknown."""
    return self.weights.class_names

  def embed(self, images: Any) -> np.ndarray:
    """Returns the encoder's features [n, F], float32.

    Args:
      images: see the class.

    Raises:
      InputError: an image of another shape or type, or that cannot be read.
    """
    return self._embed_images(images).values['encoder']

  def predict(self, images: Any, by: str = '') -> Predictions:
    """Returns the class of each image with its probability.

    Args:
      images: see the class.
      by: a classifier of `classify.CLASSIFIERS`; by default the network's own,
        or else logistic regression on the labelled images of its run.

    Raises:
      InputError: as `embed`; or there is neither a classifier nor a labelled
        image.
    """
    self._check(by, self.weights.config is not None)
    labelled = self._own_labels(by)
    by = by or ('classifier' if labelled is None else 'logistic')
    return self._classify(self._embed_images(images), labelled, by)

  def list_folder(self, path: str, labels_file: str = '') -> Dataset:
    """Lists the images of a folder; reads none.

    Args:
      path: the folder; sub-folders are only parts of the paths.
      labels_file: labels of some of them, or ''.

    Raises:
      InputError: the folder has no images, or a label of an unknown image.
    """
    try:
      source, known, names = read_folder(path, labels_file, None, '--images')
    except ValueError as error:
      raise InputError(str(error)) from error
    if not labels_file:
      known, names = np.full_like(known, -1), ()
    return Dataset(path, source.paths, known, names, source)

  def predict_unlabelled(self, data: Dataset, by: str = '') -> Predictions:
    """Predicts the classes of the unlabelled images of a data set.

    Args:
      data: the images; if none has a label, the labelled images are those of
        the network's run.
      by: as for `predict`; by default `classify.default`.

    Raises:
      InputError: no image is unlabelled, or as `predict`.
    """
    known = data.labels >= 0
    if known.all():
      raise InputError(
        f'{data.name!r} has no unlabelled image: all {data.size:,} have a'
        ' label.'
      )
    self._check(by, bool(known.any()) or self.weights.config is not None)
    if known.any():
      labelled = self._labelled_of(data, np.flatnonzero(known))
    else:
      labelled = self._own_labels(by)
    features = self.features(data, np.flatnonzero(~known))
    return self._classify(features, labelled, by or classify.default(labelled))

  def crops(self, data: Dataset, rows: Sequence[int]) -> dict[int, np.ndarray]:
    """Returns center crops [H, W, 3], uint8, of readable images by row."""
    config = self._reader_config()
    batches = pipeline.eval_batches(
      config, data, np.sort(rows).astype(np.int32), _BATCH
    )
    return {
      int(row): image
      for batch in batches
      for row, image, valid in zip(
        batch.index, batch.image, batch.valid, strict=True
      )
      if valid
    }

  def features(self, data: Dataset, rows: np.ndarray) -> Features:
    """Returns features of images of a data set that can be read.

    Args:
      data: the data set.
      rows: ascending positions in it.
    """
    return self._collect(
      pipeline.eval_batches(self._reader_config(), data, rows, _BATCH)
    )

  def _reader_config(self) -> ml_collections.ConfigDict:
    config = loading.copy(loading.base())
    config.data.backend = 'device'  # Pillow: no TensorFlow is needed.
    return sample_images.with_preprocessing(config, self.weights.preprocessing)

  def _check(self, by: str, labelled: bool) -> None:
    classify.check(by, 'classifier' in self.weights.heads, labelled)

  def _classify(
    self, features: Features, labelled: Labelled | None, by: str
  ) -> Predictions:
    return classify.predict(
      features, labelled, self.class_names, by, self._mesh
    )

  def _own_labels(self, by: str) -> Labelled | None:
    """Returns the labelled images of the network's run, embedded once."""
    if by in ('', 'classifier') and 'classifier' in self.weights.heads:
      return None
    if self._labelled is None and self.weights.config is not None:
      config = sample_images.data_config(self.weights)
      config.data.backend = 'device'
      try:
        train = dataset_lib.load(config.data).train
        rows = labels.select(config.data, train).index
      except ValueError as error:
        raise InputError(str(error)) from error
      self._labelled = self._labelled_of(train, np.sort(rows))
    return self._labelled

  def _labelled_of(self, data: Dataset, rows: np.ndarray) -> Labelled:
    features = self.features(data, rows)
    return Labelled(
      features.values['encoder'], features.label, data.class_names
    )

  def _embed_images(self, images: Any) -> Features:
    return self._collect(_batches(self._pixels(images)))

  def _collect(self, batches: Iterator[EvalBatch]) -> Features:
    return features_lib.collect(
      batches, self._embed, self._params, self._net_state, self._mesh
    )

  def _pixels(self, images: Any) -> np.ndarray:
    """Returns images as the network takes them, uint8 [n, crop, crop, 3]."""
    if isinstance(images, np.ndarray) and images.ndim != 4:
      raise InputError(
        f'images has shape {images.shape}; it must be [n, H, W, 3], uint8.'
      )
    if not isinstance(images, np.ndarray | Sequence) or isinstance(images, str):
      raise InputError(
        f'images is of type {type(images).__name__}; it must be an array'
        ' [n, H, W, 3] or a list of images or paths.'
      )
    if not len(images):
      raise InputError('images is empty; at least one image is needed.')
    return np.stack([self._one(image, n) for n, image in enumerate(images)])

  def _one(self, image: Any, number: int) -> np.ndarray:
    resize, crop, interpolation, _, _ = self.weights.preprocessing
    where = f'images[{number}]'
    try:
      if isinstance(image, str | pathlib.Path):
        where = f'images[{number}]={str(image)!r}'
        content = pathlib.Path(image).expanduser().read_bytes()
        pixels = pillow.decode(content, _NO_LIMIT, interpolation)
      elif isinstance(image, np.ndarray):
        pixels = image
      else:
        stream = io.BytesIO()
        image.convert('RGB').save(stream, 'PNG')
        pixels = pillow.decode(stream.getvalue(), _NO_LIMIT, interpolation)
    except (*pillow.UNREADABLE, AttributeError) as error:
      raise InputError(f'{where} cannot be read: {error}.') from error
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
      raise InputError(
        f'{where} is {pixels.dtype} {list(pixels.shape)}; it must be uint8'
        ' [H, W, 3].'
      )
    if pixels.shape == (crop, crop, 3):
      return pixels
    return pillow.center_crop(pixels, resize, crop, interpolation)


def _batches(pixels: np.ndarray) -> Iterator[EvalBatch]:
  """Yields images [n, H, W, 3] as batches of one size."""
  for start in range(0, len(pixels), _BATCH):
    index = np.arange(start, start + _BATCH, dtype=np.int32)
    valid = index < len(pixels)
    image = pixels[np.minimum(index, len(pixels) - 1)]
    yield EvalBatch(image, np.full_like(index, -1), index, valid)


def load(path: str | pathlib.Path) -> Model:
  """Loads a run, imported weights, or a file of weights.

  Raises:
    WeightsError: it is not found, or cannot be read.
  """
  return Model(load_lib.load(path))
