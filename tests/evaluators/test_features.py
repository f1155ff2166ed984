"""Features of a pass over batches with padding and unreadable images."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from semppl_jax.data.pipeline import EvalBatch
from semppl_jax.evaluators import features as features_lib
from semppl_jax.models.network import Network, Outputs
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import StoppedError

AUGMENT = ml_collections.ConfigDict(dict(mean=(0.5,) * 3, std=(0.25,) * 3))


def _collect(batches, **options):
  """Collects the mean color of each image, scaled by the parameter."""
  mesh = mesh_lib.make_mesh(jax.devices()[:2])
  embed = lambda params, state, images: Outputs(
    params * jnp.mean(images, axis=(1, 2))[:, None]
  )
  network = Network(lambda *_: ((), ()), lambda *_: None, embed, lambda x: x)
  fn = features_lib.make_embed(AUGMENT, network, mesh, ('encoder', 'logits'))
  return features_lib.collect(
    iter(batches), fn, jnp.float32(2.0), (), mesh, **options
  )


def _batch(values, index, valid):
  image = np.broadcast_to(
    np.array(values, np.uint8)[:, None, None, None], (len(values), 2, 2, 3)
  )
  index = np.array(index, np.int32)
  return EvalBatch(image, index % 3, index, np.array(valid))


BATCHES = [
  _batch([0, 255], [4, 5], [True, True]),
  _batch([51, 0], [6, -1], [True, False]),
]


def test_only_readable_images_have_features():
  got = _collect(BATCHES, pixels=True)
  assert got.index.tolist() == [4, 5, 6] and got.label.tolist() == [1, 2, 0]
  # Without that head there are no logits.
  assert got.values.keys() == {'encoder', 'pixels'}
  want = 2 * (np.array([0, 1, 0.2]) - 0.5) / 0.25
  np.testing.assert_allclose(got.values['encoder'][:, 0], want, rtol=1e-5)
  assert got.values['pixels'].shape == (3, 12)
  np.testing.assert_allclose(
    got.values['pixels'][:, 0], [-1, 1, -0.6], rtol=1e-5
  )
  part = got.select(np.array([False, True, True]))
  assert part.index.tolist() == [5, 6]
  assert len(part.values['encoder']) == len(part.label) == 2


def test_a_stop_ends_the_pass():
  with pytest.raises(StoppedError):
    _collect(BATCHES, stop=lambda: True)


def test_no_readable_image_is_an_error():
  with pytest.raises(features_lib.UnreadableError, match='can be read'):
    _collect([BATCHES[0]._replace(valid=np.zeros(2, bool))])
