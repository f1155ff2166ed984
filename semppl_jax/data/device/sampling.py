"""Images of each step, sampled on the accelerator.

A pure function of (seed, step): no state is kept between steps, so that a run
resumes from any of them. The distributions are those of `data.tf.streams` and
`data.support_set`, with other numbers.
"""

import chex
import jax
import jax.numpy as jnp

Array = jax.Array

# Counted in int32.
MAX_IMAGES = 2**31


def epochs(key: Array, population: Array, step: Array, rows: int) -> Array:
  """Returns the images of one step of endless permuted epochs, int32 [rows].

  Batches straddle the ends of epochs.

  Args:
    key: key of the stream.
    population: positions of the images, int32 [n].
    step: step number, int32; `step * rows` is below `MAX_IMAGES`.
    rows: images of a step.
  """
  chex.assert_rank([population, step], [1, 0])
  size = len(population)
  begin = step * rows
  epoch, rest = begin // size, begin % size
  positions = rest + jnp.arange(rows, dtype=jnp.int32)

  def order(n: Array) -> Array:
    return jax.random.permutation(
      jax.random.fold_in(key, epoch + n), population
    )

  # Largest number of epochs in a step.
  count = (rows + size - 2) // size + 1
  if count > 2:
    orders = jax.vmap(order)(jnp.arange(count, dtype=jnp.int32)).reshape(-1)
    return orders[positions]
  # A permutation is a sort, and few steps reach a second epoch.
  first = order(jnp.zeros((), jnp.int32))
  second = jax.lax.cond(
    rest + rows > size,
    lambda: order(jnp.ones((), jnp.int32)),
    lambda: first,
  )
  return jnp.concatenate([first, second])[positions]


def support(
  key: Array,
  table: Array,
  counts: Array,
  step: Array,
  *,
  classes: int,
  per_class: int,
) -> Array:
  """Returns the support images of one step, int32 [classes * per_class].

  They are ordered by class: distinct classes, and distinct images of each; a
  class with too few repeats them, from the first on.

  Args:
    key: key of the stream.
    table: images of each class, int32 [C, m]; the first `counts` of a row.
    counts: number of images of each class, at least 1, int32 [C].
    step: step number, int32.
    classes: distinct classes of a step, at most C.
    per_class: images of each of them.
  """
  chex.assert_rank([table, counts, step], [2, 1, 0])
  class_key, image_key = jax.random.split(jax.random.fold_in(key, step))
  shown = jax.random.permutation(class_key, len(table))[:classes]
  table, counts = table[shown], counts[shown][:, None]
  column = jnp.arange(table.shape[1], dtype=jnp.int32)[None]
  scores = jnp.where(
    column < counts, jax.random.uniform(image_key, table.shape), jnp.inf
  )
  order = jnp.argsort(scores, axis=1)
  place = jnp.arange(per_class, dtype=jnp.int32)[None] % counts
  chosen = jnp.take_along_axis(order, place, axis=1)
  return jnp.take_along_axis(table, chosen, axis=1).reshape(-1)
