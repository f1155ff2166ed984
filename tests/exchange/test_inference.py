"""From pixels to outputs: as the network, in float32, with chosen heads."""

import numpy as np
import pytest

from semppl_jax.exchange import inference
from semppl_jax.models.weights import WeightsError
from tests.helpers import random_weights

HEADS = ('projector', 'predictor', 'classifier')


@pytest.mark.parametrize('heads', [(), ('predictor',), HEADS])
def test_outputs_are_those_of_the_network_in_float32(heads):
  weights = random_weights.make(precision='bfloat16')
  images = random_weights.images(weights, 3)
  got = inference.make_host_fn(weights, heads)(images)
  random_weights.assert_exact(got, random_weights.slow(weights, heads, images))
  assert weights.network.precision == 'bfloat16'


def test_a_classifier_on_the_projector_takes_the_projector_along():
  head = dict(classes=5, input='projector_hidden')
  weights = random_weights.make(classifier=head)
  images = random_weights.images(weights, 2)
  got = inference.make_host_fn(weights, ('classifier',))(images)
  want = random_weights.slow(weights, ('classifier',), images)
  random_weights.assert_exact(got, want)
  kept = inference.variables(weights, ('classifier',))['params']
  assert {name.split('/')[0] for name in kept} >= {'projector', 'classifier'}
  assert not any(name.startswith('predictor') for name in kept)


def test_the_encoder_is_served_without_heads_and_counters():
  tree = inference.variables(random_weights.make())
  heads = {name.split('/')[0] for name in tree['params']} & set(HEADS)
  assert not heads
  assert {name for group in tree['net_state'].values() for name in group} == {
    'average'
  }


def test_shapes_of_the_outputs():
  assert inference.output_shapes(random_weights.make(), HEADS) == {
    'features': (128,),
    'projection': (8,),
    'prediction': (8,),
    'logits': (5,),
  }


def test_more_weights_than_a_file_can_hold():
  weights = random_weights.make()
  inference.check_size(weights, (), 'ONNX')
  # Of the size of a ResNet-200 (4x), without its memory.
  huge = np.broadcast_to(np.float32(0), (2**30,))
  weights.params['tiny_res_net/huge'] = {'w': huge}
  with pytest.raises(WeightsError, match=r'ONNX holds .* has 4.0 GiB'):
    inference.check_size(weights, (), 'ONNX')
