"""Weights: what fits, what is taken and what is said of what does not."""

import jax
import ml_collections
import numpy as np
import pytest

from semppl_jax.models import weights as weights_lib
from semppl_jax.models.weights import Preprocessing, Weights, WeightsError

ENCODER = {'net/conv': {'w': (3, 3)}, 'net/norm': {'scale': (3,)}}
HEADS = {
  'projector/linear': {'w': (3, 2)},
  'classifier': {'w': (3, 4), 'b': (4,)},
}
AVERAGES = {'net/norm/~/mean_ema': {'average': (3,)}}


def _tree(shapes, value=0.0):
  return {
    module: {
      name: np.full(shape, value, np.float32) for name, shape in group.items()
    }
    for module, group in shapes.items()
  }


def _weights(params=ENCODER | HEADS, averages=AVERAGES):
  return Weights(
    network=ml_collections.ConfigDict(),
    params=_tree(params, 1.0),
    net_state=_tree(averages, 1.0),
    preprocessing=Preprocessing(8, 8, 'bilinear', (0.5,) * 3, (0.5,) * 3),
    origin='a file',
  )


def _is_loaded(tree):
  """Whether a tree came from the file, of which every number is 1."""
  return all((x == 1).all() for x in jax.tree.leaves(tree))


def test_encoder_and_heads_that_fit_are_taken():
  fresh = _tree(ENCODER | HEADS), _tree(AVERAGES)
  params, state, heads = weights_lib.merge(_weights(), *fresh)
  assert heads == ['projector', 'classifier']
  assert _is_loaded((params, state))


def test_only_the_heads_that_are_asked_for_are_taken():
  fresh = _tree(ENCODER | HEADS), _tree(AVERAGES)
  params, _, heads = weights_lib.merge(_weights(), *fresh, ('projector',))
  assert heads == ['projector']
  assert not params['classifier']['w'].any()


def test_a_head_without_weights_stays_fresh():
  wanted = ENCODER | HEADS | {'predictor/linear': {'w': (2, 2)}}
  fresh = _tree(wanted), _tree(AVERAGES)
  params, _, heads = weights_lib.merge(_weights(), *fresh)
  assert heads == ['projector', 'classifier']
  assert not params['predictor/linear']['w'].any()


def test_a_head_that_the_network_has_not_is_left_out():
  fresh = _tree(ENCODER), _tree(AVERAGES)
  params, _, heads = weights_lib.merge(_weights(), *fresh)
  assert heads == [] and params.keys() == ENCODER.keys()


@pytest.mark.parametrize(
  'params, averages, phrase',
  [
    (
      ENCODER | {'net/conv': {'w': (3, 5)}},
      AVERAGES,
      r'net/conv/w has shape \(3, 5\) \(expected \(3, 3\)\)',
    ),
    (
      {'net/norm': {'scale': (3,)}},
      AVERAGES,
      r'net/conv/w is missing \(expected \(3, 3\)\)',
    ),
    (
      ENCODER | {'net/more': {'w': (1,)}},
      AVERAGES,
      r'net/more/w is surplus \(found \(1,\)\)',
    ),
    (ENCODER, {}, r'mean_ema/average is missing \(expected \(3,\)\)'),
  ],
)
def test_an_encoder_that_does_not_fit_names_path_and_shapes(
  params, averages, phrase
):
  fresh = _tree(ENCODER), _tree(AVERAGES)
  with pytest.raises(WeightsError, match=f'a file does not fit.*{phrase}'):
    weights_lib.merge(_weights(params, averages), *fresh)


def test_many_differences_are_counted():
  wanted = {f'net/{n}': {'w': (1,)} for n in range(9)}
  with pytest.raises(WeightsError, match=r'and 6 more\.'):
    weights_lib.merge(_weights(ENCODER), _tree(wanted), _tree(AVERAGES))


def test_a_head_of_another_shape_is_named_unless_it_is_left_out():
  other = HEADS | {'classifier': {'w': (3, 9), 'b': (9,)}}
  fresh = _tree(ENCODER | other), _tree(AVERAGES)
  sentence = r'classifier/w has shape \(3, 4\) \(expected \(3, 9\)\)'
  with pytest.raises(WeightsError, match=sentence):
    weights_lib.merge(_weights(), *fresh)
  params, _, heads = weights_lib.merge(_weights(), *fresh, ('projector',))
  assert heads == ['projector']
  assert params['classifier']['w'].shape == (3, 9)


def test_heads_are_those_of_the_parameters():
  assert _weights().heads == ('projector', 'classifier')
  assert _weights(ENCODER).heads == ()
