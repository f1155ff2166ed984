"""The frame of the commands: flags, errors and exit statuses."""

import signal
import sys
import threading

import jax
import pytest

from semppl_jax.runtime import cli, errors


def test_the_process_is_asked_to_stop_when_its_time_is_over():
  came = threading.Event()
  before = signal.signal(signal.SIGTERM, lambda *_: came.set())
  try:
    with cli.stop_after(0.05 / 60):
      assert came.wait(10)
    came.clear()
    for minutes in (None, 0.0, 0.05 / 60):  # The last one is in time.
      with cli.stop_after(minutes):
        pass
    assert not came.wait(0.2)
  finally:
    signal.signal(signal.SIGTERM, before)


def _raise(error):
  def work():
    raise error

  return work


@pytest.mark.parametrize(
  'error, status, text',
  [
    (errors.InputError('Bad.'), errors.BAD_INPUT, 'semppl_jax: Bad.\n'),
    (errors.NonFiniteError('NaN.'), errors.FAILED, 'semppl_jax: NaN.\n'),
    (errors.StoppedError(), errors.STOPPED, ''),
  ],
)
def test_an_error_of_the_package_is_a_sentence(error, status, text, capsys):
  assert cli._report_errors(_raise(error), 'hint') == status
  assert capsys.readouterr().err == text


class _AbortError(errors.ProgramError):
  abort = True


@pytest.mark.parametrize(
  'error, text',
  [
    (_AbortError('The disk is full.'), 'The disk is full.'),
    (OSError('No space'), 'Reading or writing failed: No space. All is kept.'),
    (KeyboardInterrupt(), 'Stopped at once. All is kept.'),
    (
      jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: 9 GiB of HBM.\nmore'),
      'The memory of a device is full; other programs may use it too, or a'
      ' smaller batch fits (RESOURCE_EXHAUSTED: 9 GiB of HBM.). All is kept.',
    ),
  ],
)
def test_what_leaves_work_undone_ends_at_once(error, text, monkeypatch, capsys):
  monkeypatch.setattr(cli, '_exit', sys.exit)
  with pytest.raises(SystemExit) as end:
    cli._report_errors(_raise(error), 'All is kept.')
  assert end.value.code == errors.FAILED
  assert capsys.readouterr().err == f'semppl_jax: {text}\n'


def test_an_unknown_error_keeps_its_traceback():
  with pytest.raises(jax.errors.JaxRuntimeError):
    cli._report_errors(
      _raise(jax.errors.JaxRuntimeError('INTERNAL: a broken kernel')), ''
    )
