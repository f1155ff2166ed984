"""Errors of the package and their sentences."""

import numpy as np
import pytest

from semppl_jax.config.loading import ConfigError
from semppl_jax.exchange.export import ParityError
from semppl_jax.models.weights import WeightsError
from semppl_jax.runtime import errors
from semppl_jax.runtime.distributed import JoinError
from semppl_jax.runtime.files import WorkdirError
from semppl_jax.runtime.worker_pool import WorkerError
from semppl_jax.training.checkpoint import MismatchError, WriteError


@pytest.mark.parametrize(
  'kind, status',
  [
    (errors.InputError, errors.BAD_INPUT),
    (ConfigError, errors.BAD_INPUT),
    (WeightsError, errors.BAD_INPUT),
    (JoinError, errors.BAD_INPUT),
    (WorkdirError, errors.BAD_INPUT),
    (MismatchError, errors.BAD_INPUT),
    (errors.NonFiniteError, errors.FAILED),
    (ParityError, errors.FAILED),
    (WorkerError, errors.FAILED),
    (WriteError, errors.FAILED),
    (errors.StoppedError, errors.STOPPED),
  ],
)
def test_each_error_has_its_exit_status(kind, status):
  assert issubclass(kind, errors.ProgramError)
  assert kind('x').exit_status == status
  assert kind('x').abort == (kind is WriteError)
  assert issubclass(kind, ValueError) == (status == errors.BAD_INPUT)


def test_the_first_line_or_else_the_type():
  assert errors.first_line(OSError(' a\nb')) == 'a'
  assert errors.first_line(KeyboardInterrupt()) == 'KeyboardInterrupt'


def test_a_few_names_are_shown():
  assert errors.count_and_names('ids', ['a', 'b']) == "2 ids: 'a', 'b'"
  many = np.arange(1000)
  assert errors.count_and_names('x', many) == "1000 x: '0', '1', '2', ..."


def test_a_file_that_cannot_be_read_is_one_sentence():
  error = errors.unreadable_file('field', 'f', OSError('bad [Op:Read]\nmore'))
  assert str(error) == "field: 'f' cannot be read: bad."


def test_every_problem_is_named():
  errors.raise_if_any({'bad id(s)': []}, 'field')
  with pytest.raises(errors.InputError) as caught:
    errors.raise_if_any({'bad id(s)': ['a'], 'x': []}, 'field', 'no end')
  assert str(caught.value) == "field has 1 bad id(s): 'a'; no end."
