"""Losses of methods on random embeddings, without a network."""

import jax
import jax.numpy as jnp
import numpy as np

from configs import base
from semppl_jax import methods
from semppl_jax.data.batch import Batch, Support
from semppl_jax.methods.base import Inputs, Method, MethodContext
from semppl_jax.runtime import mesh as mesh_lib

ROWS, SUPPORTS, DIM = 8, 12, 5


def config(method, small=0, **fields):
  c = base.get_config()
  c.method, c.batch_size = method, ROWS
  c.views.large.count, c.views.small.count = 2, small
  c.network.projector.output, c.network.precision = DIM, 'float32'
  c.semppl.queue = '16 rows'
  if fields:
    c[method].update(fields)
  return c


def make(config) -> Method:
  mesh = mesh_lib.make_mesh(jax.devices()[:1])
  return methods.make(config, MethodContext(mesh, ROWS, 10 * ROWS))


def embeddings(rows, views, seed=0):
  shape = (rows, views, DIM)
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def batch() -> Batch:
  """Half of the rows are labelled; the supports have columns of their own."""
  truth, support = _classes(ROWS), _classes(SUPPORTS, 1)
  label = np.where(np.arange(ROWS) % 2, truth, -1).astype(np.int32)
  none, index = np.zeros((ROWS, 0), np.uint8), np.arange(ROWS, dtype=np.int32)
  beside = Support(none, support, np.zeros_like(support), support)
  return Batch(none, none, label, index, truth, support=beside)


def _classes(rows, seed=0):
  return np.random.default_rng(seed).integers(0, 3, rows).astype(np.int32)


def loss(method):
  """`(online, target, step) -> (LossResult, gradients of both)`, compiled."""

  def loss(online, target, step):
    memory, key = method.init_memory(), jax.random.key(3)
    rows = jax.tree.map(jnp.asarray, batch())
    result = method.loss(Inputs(online, target, rows, memory, key, step))
    return result.loss, result

  grad = jax.value_and_grad(loss, (0, 1), has_aux=True)

  @jax.jit
  def run(online, target=None, step=0):
    (_, result), grads = grad(online, target, jnp.asarray(step, jnp.int32))
    return result, grads

  return run


def assert_zero(tree):
  assert not any(np.any(x) for x in jax.tree.leaves(tree))
