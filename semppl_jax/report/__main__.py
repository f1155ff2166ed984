r"""Writes a page of what runs learned: `python -m semppl_jax.report RUN...`.

The page is one self-contained file, `--out` (for a single run, by default
`RUN/report.html`), and can be written at any time, also during a run. It is
made on the CPU and leaves the accelerators to the runs. With `--nopictures`
neither data nor checkpoints are read.

Exit status: 0; 2 on bad input; 1 if the page cannot be written.
"""

from collections.abc import Sequence
import os

from absl import flags

# Before JAX is imported: a run may use the accelerators.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

from semppl_jax.runtime import cli, errors

_OUT = flags.DEFINE_string('out', None, 'HTML file to write.')
_PICTURES = flags.DEFINE_bool(
  'pictures', True, 'Also show images and features, which can take minutes.'
)


def main(argv: Sequence[str]) -> int:
  """Writes the page and returns the exit status."""
  return cli.run_cli(lambda: _write(argv[1:]), 'Run the same command again.')


def _write(runs: Sequence[str]) -> int:
  from semppl_jax.report import build

  if not runs:
    raise errors.InputError(
      'Name one or more runs: python -m semppl_jax.report RUN [RUN...].'
    )
  if len(runs) > 1 and not _OUT.value:
    raise errors.InputError(
      f'--out=FILE.html is required for a page of {len(runs)} runs.'
    )
  out = _OUT.value or os.path.join(runs[0], build.FILE)
  path = build.write(runs, out, pictures=_PICTURES.value)
  print(f'Written to {path}.')  # noqa: T201
  return errors.OK


if __name__ == '__main__':
  cli.start(main)
