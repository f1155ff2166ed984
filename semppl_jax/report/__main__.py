r"""Shows what runs learned: `python -m semppl_jax.report RUN [RUN...]`.

Writes one self-contained page, `--out` (of one run, by default
`RUN/report.html`), at any time, also while a run goes on. It is made on the
CPU, so that it takes nothing of the accelerators that a run trains on. With
`--nopictures` neither data nor checkpoints are read.

Exit status: 0, 2 on bad input, 1 where nothing can be written.
"""

from collections.abc import Sequence
import os

from absl import flags

# Before JAX is: a run may have the accelerators.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

from semppl_jax.runtime import cli, errors

_OUT = flags.DEFINE_string('out', None, 'HTML file to write.')
_PICTURES = flags.DEFINE_bool(
  'pictures', True, 'Also show images and features, which takes up to minutes.'
)


def main(argv: Sequence[str]) -> int:
  """Runs what the flags say and returns the exit status."""
  return cli.run_cli(lambda: _write(argv[1:]), 'The same command goes on.')


def _write(runs: Sequence[str]) -> int:
  from semppl_jax.report import build

  if not runs:
    raise errors.InputError(
      'name one or more runs: python -m semppl_jax.report RUN [RUN...].'
    )
  if len(runs) > 1 and not _OUT.value:
    raise errors.InputError(
      f'--out=FILE.html is missing: the page of these {len(runs)} runs.'
    )
  out = _OUT.value or os.path.join(runs[0], build.FILE)
  path = build.write(runs, out, pictures=_PICTURES.value)
  print(f'Written to {path}.')  # noqa: T201
  return errors.OK


if __name__ == '__main__':
  cli.start(main)
