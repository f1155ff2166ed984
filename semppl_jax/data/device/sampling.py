"""Which images a step shows, drawn on the accelerator.

A pure function of (seed, step): nothing is remembered between steps, so that a
run goes on from any of them. The same distributions as `data.order` and
`data.support` draw from, with other numbers.
"""

import chex
import jax
import jax.numpy as jnp

Array = jax.Array

# Counted in int32.
MAX_IMAGES = 2**31


def epochs(key: Array, population: Array, step: Array, rows: int) -> Array:
  """The images of one step of endless epochs, each a new order; int32 [rows].

  Batches straddle the ends of epochs.

  Args:
    key: of the stream.
    population: positions of the images, int32 [n].
    step: steps before this one, int32; times `rows` it is below `MAX_IMAGES`.
    rows: images of a step.
  """
  chex.assert_rank([population, step], [1, 0])
  size = len(population)
  begin = step * rows
  epoch, rest = begin // size, begin % size
  places = rest + jnp.arange(rows, dtype=jnp.int32)

  def order(n: Array) -> Array:
    return jax.random.permutation(
      jax.random.fold_in(key, epoch + n), population
    )

  # As many epochs as a step can touch.
  count = (rows + size - 2) // size + 1
  if count > 2:
    orders = jax.vmap(order)(jnp.arange(count, dtype=jnp.int32)).reshape(-1)
    return orders[places]
  # An order is a sort, and few steps touch a second epoch.
  first = order(jnp.zeros((), jnp.int32))
  second = jax.lax.cond(
    rest + rows > size,
    lambda: order(jnp.ones((), jnp.int32)),
    lambda: first,
  )
  return jnp.concatenate([first, second])[places]


def support(
  key: Array,
  table: Array,
  counts: Array,
  step: Array,
  *,
  classes: int,
  each: int,
) -> Array:
  """The support images of one step, class by class, int32 [classes * each].

  Distinct classes, and of each of them distinct images; a class that has too
  few shows them again, from the first on.

  Args:
    key: of the stream.
    table: images of each class, int32 [C, m]; the first `counts` of a row.
    counts: how many each class has, at least 1, int32 [C].
    step: steps before this one, int32.
    classes: distinct classes of a step, at most C.
    each: images of each of them.
  """
  chex.assert_rank([table, counts, step], [2, 1, 0])
  class_key, image_key = jax.random.split(jax.random.fold_in(key, step))
  shown = jax.random.permutation(class_key, len(table))[:classes]
  table, counts = table[shown], counts[shown][:, None]
  column = jnp.arange(table.shape[1], dtype=jnp.int32)[None]
  lot = jnp.where(
    column < counts, jax.random.uniform(image_key, table.shape), jnp.inf
  )
  order = jnp.argsort(lot, axis=1)
  place = jnp.arange(each, dtype=jnp.int32)[None] % counts
  chosen = jnp.take_along_axis(order, place, axis=1)
  return jnp.take_along_axis(table, chosen, axis=1).reshape(-1)
