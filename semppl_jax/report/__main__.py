r"""Shows what runs learned: `python -m semppl_jax.report RUN [RUN...]`.

Writes one self-contained page, `--out` (of one run, by default
`RUN/report.html`), at any time, also while a run goes on. It is made on the
CPU, so that it takes nothing of the accelerators that a run trains on. With
`--nopictures` neither data nor checkpoints are read.

Exit status: 0, 2 on bad input, 1 where nothing can be written.
"""

from collections.abc import Sequence
import os

from absl import app, flags

# Before JAX is: a run may have the accelerators.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

from semppl_jax import program

_OUT = flags.DEFINE_string('out', None, 'HTML file to write.')
_PICTURES = flags.DEFINE_bool(
  'pictures', True, 'Also show images and features, which takes up to minutes.'
)


def main(argv: Sequence[str]) -> int:
  """Runs what the flags say and returns the exit status."""
  return program.guarded(lambda: _write(argv[1:]), 'The same command goes on.')


def _write(runs: Sequence[str]) -> int:
  from semppl_jax.report import course, writing

  if not runs:
    return program.complain(
      'name one or more runs: python -m semppl_jax.report RUN [RUN...].',
      program.BAD_INPUT,
    )
  if len(runs) > 1 and not _OUT.value:
    return program.complain(
      f'--out=FILE.html says where the page of {len(runs)} runs goes.',
      program.BAD_INPUT,
    )
  out = _OUT.value or os.path.join(runs[0], writing.FILE)
  try:
    path = writing.write(runs, out, pictures=_PICTURES.value)
  except course.CourseError as error:
    return program.complain(error, program.BAD_INPUT)
  print(f'Written to {path}.')  # noqa: T201
  return program.OK


if __name__ == '__main__':
  app.run(main, flags_parser=program.parse)
