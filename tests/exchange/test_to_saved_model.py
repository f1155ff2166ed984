"""Only of SavedModel; the rest is in `test_graph_formats`."""

import pytest

from semppl_jax.exchange import to_saved_model
from semppl_jax.models.weights import WeightsError


def test_the_signature_takes_any_number_of_images(written):
  from semppl_jax.data.tf.runtime import tf

  *_, path = written('saved_model')
  loaded = tf.saved_model.load(str(path))
  signature = loaded.signatures['serving_default']
  _, given = signature.structured_input_signature
  assert given['images'].shape.as_list() == [None, 32, 32, 3]
  assert given['images'].dtype == tf.uint8


def test_the_weights_are_outside_the_graph(written):
  """A graph can hold 2 GiB only."""
  *_, path = written('saved_model')
  weights = path / 'variables' / 'variables.data-00000-of-00001'
  assert (path / 'saved_model.pb').stat().st_size < weights.stat().st_size


def test_a_jax_too_new_for_tensorflow_is_one_sentence(monkeypatch):
  from semppl_jax.data.tf.runtime import tf

  def refuse(*args, **kwargs):
    raise tf.errors.InvalidArgumentError(None, None, 'Cannot deserialize')

  monkeypatch.setattr(tf, 'function', lambda *args, **kwargs: refuse)
  with pytest.raises(WeightsError, match='cannot read programs of JAX'):
    to_saved_model.check(None, ())
