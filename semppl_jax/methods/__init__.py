"""The table of methods. A new one is one file with `make` and one line here."""

from jax.sharding import Mesh
import ml_collections

from semppl_jax.methods import semppl, supervised
from semppl_jax.methods.method import Method

_TABLE = {
  'semppl': semppl.make,
  'supervised': supervised.make,
}
NAMES = tuple(_TABLE)


def make(config: ml_collections.ConfigDict, mesh: Mesh) -> Method:
  """Builds the method that `config.method` names, for the devices of `mesh`."""
  return _TABLE[config.method](config, mesh)
