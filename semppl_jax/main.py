"""Trains a config: `python -m semppl_jax.main --config=FILE --workdir=DIR`.

`--config.batch_size=256` overrides any field of the config. `--check` trains
nothing: it prints the data, the cost and every problem. A finished run has a
page about it, `DIR/report.html` (`semppl_jax.report`).

Exit status: 0 for a finished run, 75 for a run that was asked to stop before
(SIGTERM, Ctrl-C, `--stop_after_minutes`), 2 on bad input, 1 on other failures.
"""

import logging

from absl import flags
import jax

from semppl_jax.config import loading
from semppl_jax.runtime import cli, errors, files as files_lib

_log = logging.getLogger(__name__)
_CONFIG = loading.define_flag()
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder or bucket (gs://...) of the run.'
)
_MINUTES = flags.DEFINE_float(
  'stop_after_minutes',
  None,
  'Save and stop after this time; the same command continues.',
  0.0,
)
_CHECK = flags.DEFINE_boolean(
  'check', False, 'Print the plan of the run and its problems, and stop.'
)
_PROFILE = flags.DEFINE_string(
  'profile',
  None,
  'STEP:COUNT, the steps to profile into DIR/profile (TensorBoard, Perfetto).',
)
_REPORT = flags.DEFINE_boolean(
  'report', True, 'Write DIR/report.html at the end of the run.'
)


def main(_) -> int:
  """Runs the command and returns the exit status."""
  return cli.run_cli(_check if _CHECK.value else _run)


def _run() -> int:
  from semppl_jax.training import loop, profiling, summary

  if not _WORKDIR.value:
    raise loading.ConfigError(
      '--workdir=DIR is missing: the folder or bucket of the run.'
    )
  profile = profiling.parse(_PROFILE.value)
  with cli.stop_after(_MINUTES.value):
    result = loop.run(_CONFIG.value, _WORKDIR.value, profile=profile)
  if result is None:
    return errors.STOPPED
  if jax.process_index() == 0:
    print(summary.describe(result), flush=True)  # noqa: T201
    if _REPORT.value:
      _write_report(_WORKDIR.value)
  return errors.OK


def _write_report(workdir: str) -> None:
  """Writes the page of a finished run; a failure is logged alone."""
  from semppl_jax.report import build
  from semppl_jax.training import summary

  directory = files_lib.path(workdir)
  path, end = directory / build.FILE, directory / summary.FILE
  if not path.exists() or path.stat().mtime < end.stat().mtime:
    try:
      # Other processes have left, and images need all of them.
      build.write([workdir], path, pictures=jax.process_count() == 1)
    except Exception as error:
      _log.warning(
        'No report was written (%s); try again with python -m'
        ' semppl_jax.report %s.',
        errors.first_line(error),
        workdir,
      )
      return
  print(f'Report: {path}')  # noqa: T201


def _check() -> int:
  from semppl_jax.training import dry_run

  text, good = dry_run.describe(_CONFIG.value)
  print(text)  # noqa: T201
  return errors.OK if good else errors.BAD_INPUT


if __name__ == '__main__':
  cli.start(main, loading.parse_flags)
