"""Images that networks are compared on."""

from configs import quickstart
from semppl_jax.exchange import sample_images
from tests.helpers import random_weights


def test_images_of_the_run_are_those_that_it_evaluates():
  weights = random_weights.make()
  config = quickstart.get_config()
  images, name = sample_images.sample(weights._replace(config=config), 2)
  assert images.shape == (2, 32, 32, 3)
  assert name == '2 images of embedded/test'
  # Those of a set that would have to be downloaded are not fetched for this.
  config.data.update(kind='tfds', name='cifar10', path='/nowhere')
  again, name = sample_images.sample(weights._replace(config=config), 2)
  assert again.shape == images.shape
  assert name == '2 images of noise'
