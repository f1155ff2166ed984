"""Files of mask networks, and the detector that such a file makes."""

import hashlib
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np

from semppl_jax.runtime.files import atomic_write
from semppl_jax.saliency import network
from semppl_jax.saliency.image import check_image, resize, shrink, SIDE
from semppl_jax.saliency.mask_fn import ImageFn
from semppl_jax.saliency.postprocess import contrast, guided_filter

_VERSION = 1
_FIELD = 'mask_network'
# A choice: about a just noticeable difference. A plainer image shows nothing.
_VISIBLE = 3
# A choice: half of a pixel of the network's map, in pixels of the small image.
_RADIUS = 4
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def write(
  path: str,
  settings: network.Settings,
  params: network.Params,
  origin: str = '',
) -> None:
  """Writes weights as safetensors, atomically.

  Args:
    path: of the file.
    settings: of the network.
    params: its weights.
    origin: fingerprint of its training.
  """
  from safetensors.numpy import save

  flat = {
    # The file has the memory in its order.
    f'{module}:{name}': np.ascontiguousarray(value, np.float32)
    for module, values in params.items()
    for name, value in values.items()
  }
  about = settings._asdict() | {'version': _VERSION, 'origin': origin}
  # One field: several would be in another order in each file.
  content = save(flat, metadata={_FIELD: json.dumps(about)})
  with atomic_write(path) as temporary:
    temporary.write_bytes(content)


def read(path: str) -> tuple[network.Settings, network.Params, str]:
  """Reads settings, weights and origin.

  Raises:
    ValueError: it is missing, or not a file of a mask network of this version.
  """
  import safetensors

  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      about = json.loads((file.metadata() or {})[_FIELD])
      flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if about.pop('version') != _VERSION:
      raise ValueError('another version')
    origin = about.pop('origin')
    settings = network.Settings(**about | {'heads': tuple(about['heads'])})
    params: Any = {}
    for name, value in flat.items():
      module, leaf = name.split(':')
      params.setdefault(module, {})[leaf] = value
    _check(settings, params)
  except (
    safetensors.SafetensorError,
    AttributeError,
    KeyError,
    OSError,
    TypeError,
    ValueError,
  ) as error:
    raise ValueError(
      f'--network={path} is not a file of a mask network of version {_VERSION},'
      f' as of --train_network ({type(error).__name__}: {error}).'
    ) from None
  return settings, params, origin


def is_trained(path: str, origin: str) -> bool:
  """Returns True if there is the file of a network of this origin.

  Raises:
    ValueError: it has another origin, or as `read`.
  """
  if not os.path.exists(path):
    return False
  if read(path)[2] != origin:
    raise ValueError(
      f'{path} holds a network that was trained on other images or for other'
      ' epochs; name another --out.'
    )
  return True


def fingerprint(path: str) -> str:
  """Returns a hash of the file, which identifies the network of masks.

  Raises:
    ValueError: it cannot be read.
  """
  try:
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()[:16]
  except OSError as error:
    raise ValueError(f'--network={path} cannot be read: {error}.') from None


def load_detector(path: str) -> ImageFn:
  """Returns the detector of a file of a mask network.

  Its map is the mean of the heads, with contrast and outlines as the maps of
  the hand-crafted detectors.

  Raises:
    ValueError: as `read`; of the function, as `image.check_image`.
  """
  settings, params, _ = read(path)
  apply = network.make_network(settings).apply
  run = jax.jit(lambda x: jax.nn.sigmoid(apply(params, x)).mean(-1))
  cpu = jax.local_devices(backend='cpu')[0]

  def detect(image: np.ndarray) -> np.ndarray:
    check_image(image)
    square = to_square(image, settings.side)
    if np.ptp(square, axis=(0, 1)).max() < _VISIBLE:
      return np.zeros(image.shape[:2], np.float32)
    # A mask must not depend on its worker: workers have no accelerator.
    with jax.default_device(cpu):
      return _draw(image, np.asarray(run(square[None])[0]))

  return detect


def to_square(image: np.ndarray, side: int) -> np.ndarray:
  """Resizes an image of any aspect to [side, side, 3], uint8."""
  from PIL import Image

  resized = Image.fromarray(image).resize(
    (side, side), Image.Resampling.BILINEAR
  )
  return np.asarray(resized)


def _draw(image: np.ndarray, small: np.ndarray) -> np.ndarray:
  """Returns the map [H, W] of an image from a small one, both in [0, 1]."""
  gray = image @ _LUMA / np.float32(255)
  guide = shrink(gray[..., None], SIDE)[..., 0]
  values = contrast(small.ravel(), np.ones(small.size)).reshape(small.shape)
  values = resize(values.astype(np.float32), guide.shape)
  values = guided_filter(guide, values, _RADIUS)
  return np.clip(resize(values.astype(np.float32), image.shape[:2]), 0, 1)


def _check(settings: network.Settings, params: network.Params) -> None:
  side, width = settings.side, settings.width
  if not settings.heads or side < 16 or side % 16 or width < 4 or width % 4:
    raise ValueError(
      f'{settings} must have a head, a side of a multiple of 16 and a width of'
      ' a multiple of 4'
    )
  made = network.make_network(settings)
  image = np.zeros((1, settings.side, settings.side, 3), np.uint8)
  # The key inside: nothing here is to start a device.
  want = jax.eval_shape(lambda x: made.init(jax.random.key(0), x), image)
  shapes = jax.tree.map(lambda x: x.shape, want)
  if jax.tree.map(np.shape, params) != shapes:
    raise ValueError('its weights are not those of its settings')
  if not all(np.isfinite(x).all() for x in jax.tree.leaves(params)):
    raise ValueError('some of its weights are not finite')
