"""Flags of the programs that compile many configs: what each may take."""

from absl import flags

from semppl_jax.tools.compile.limits import Limits

_MINUTES = flags.DEFINE_float(
  'limit_minutes', 30.0, 'Of compiling a row of the table.', 0.0
)
_GIB = flags.DEFINE_float(
  'limit_gib', 20.0, 'Of memory of the process that compiles a row.', 0.0
)


def read() -> Limits:
  """Returns what the flags say."""
  return Limits(_MINUTES.value, _GIB.value)
