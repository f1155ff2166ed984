"""Trains by a config: `python -m semppl_jax.main --config=FILE --workdir=DIR`.

Any field of the config is overridden as `--config.batch_size=256`. With
`--check` nothing is trained: it prints the data, the cost and every problem.
A run ends with a page that shows it, `DIR/report.html` (`semppl_jax.report`).

Exit status: 0 at the end of the run, 75 where it was asked to stop before it
(SIGTERM, Ctrl-C, `--stop_after_minutes`), 2 on bad input, 1 on other failures.
"""

import logging

from absl import flags
from etils import epath
import jax

from semppl_jax.config import loading
from semppl_jax.runtime import cli, errors

_log = logging.getLogger(__name__)
_CONFIG = loading.define_flag()
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder or bucket (gs://...) of the run.'
)
_MINUTES = flags.DEFINE_float(
  'stop_after_minutes',
  None,
  'Save and stop after so long; the same command goes on.',
  0.0,
)
_CHECK = flags.DEFINE_boolean('check', False, 'Print what would run, and stop.')
_REPORT = flags.DEFINE_boolean(
  'report', True, 'Write DIR/report.html at the end of the run.'
)


def main(_) -> int:
  """Runs what the flags say and returns the exit status."""
  return cli.run_cli(_check if _CHECK.value else _run)


def _run() -> int:
  from semppl_jax.training import loop, summary

  if not _WORKDIR.value:
    raise loading.ConfigError('--workdir=DIR says where the run goes.')
  with cli.stop_after(_MINUTES.value):
    result = loop.run(_CONFIG.value, _WORKDIR.value)
  if result is None:
    return errors.STOPPED
  if jax.process_index() == 0:
    print(summary.describe(result), flush=True)  # noqa: T201
    if _REPORT.value:
      _write_report(_WORKDIR.value)
  return errors.OK


def _write_report(workdir: str) -> None:
  """Writes the page of a finished run, which stands whatever becomes of it."""
  from semppl_jax.report import build
  from semppl_jax.runtime import errors, files as files_lib
  from semppl_jax.training import summary

  directory = files_lib.path(workdir)
  path = directory / build.FILE
  if not _newer(path, directory / summary.FILE):
    try:
      # Other processes have left: what needs all of them is not there.
      alone = jax.process_count() == 1
      build.write([workdir], path, pictures=alone)
    except Exception as error:
      _log.warning(
        'No report was written (%s); python -m semppl_jax.report %s tries'
        ' again.',
        errors.first_line(error),
        workdir,
      )
      return
  print(f'Report: {path}')  # noqa: T201


def _newer(page: epath.Path, end: epath.Path) -> bool:
  """Whether a page was made after the end of its run, and not on the way."""
  return page.exists() and page.stat().mtime >= end.stat().mtime


def _check() -> int:
  from semppl_jax.training import dry_run

  text, good = dry_run.describe(_CONFIG.value)
  print(text)  # noqa: T201
  return errors.OK if good else errors.BAD_INPUT


if __name__ == '__main__':
  cli.start(main, loading.parse_flags)
