"""Durations and queue sizes against values by hand."""

from hypothesis import given, strategies as st
import pytest

from semppl_jax.config import durations

IMAGENET = 1_281_167


@pytest.mark.parametrize(
  'duration, batch_size, examples, expected',
  [
    ('300 epochs', 4096, IMAGENET, 93_835),
    ('10 epochs', 4096, IMAGENET, 3127),
    ('1 epoch', 256, 6000, 23),
    ('0.5 epochs', 100, 1000, 5),
    ('0.1 epochs', 1, 30, 3),
    ('2000000 examples', 4096, IMAGENET, 488),
    ('1000 steps', 4096, 10, 1000),
    ('  7   steps ', 4, 10, 7),
    ('1 example', 4096, 10, 1),
    ('0.001 epochs', 4096, 10, 1),
    ('0 epochs', 256, 6000, 0),
  ],
)
def test_steps(duration, batch_size, examples, expected):
  assert durations.steps(duration, batch_size, examples) == expected


@given(
  amount=st.integers(1, 500),
  batch_size=st.integers(1, 5000),
  examples=st.integers(1, 2_000_000),
)
def test_steps_of_epochs_never_pass_the_examples(amount, batch_size, examples):
  n = durations.steps(f'{amount} epochs', batch_size, examples)
  assert n >= 1
  assert (n + 1) * batch_size > amount * examples
  assert n == 1 or n * batch_size <= amount * examples


@pytest.mark.parametrize(
  'duration',
  ['', '10', 'epochs', '-1 epochs', '3 weeks', '1e3 steps', '5steps'],
)
def test_a_bad_duration_is_one_sentence(duration):
  with pytest.raises(ValueError, match=r"got '.*'\.$") as error:
    durations.steps(duration, 4, 10)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'size, expected',
  [
    ('20 batches', 5120),
    ('1 batch', 256),
    ('1024 rows', 1024),
    ('0.5 batches', 128),
    ('0 rows', 0),
  ],
)
def test_queue_rows(size, expected):
  assert durations.queue_rows(size, 256) == expected


@pytest.mark.parametrize('size', ['20', '20 steps', '-1 rows', '0.3 batches'])
def test_a_bad_queue_size_is_one_sentence(size):
  with pytest.raises(ValueError, match='queue size'):
    durations.queue_rows(size, 256)


@pytest.mark.parametrize(
  'seconds,words',
  [(0, '0.0 s'), (99.94, '99.9 s'), (100, '1.7 min'), (6000, '1.7 h'),
   (47.9 * 3600, '47.9 h'), (10 * 86400, '10 days')],
)  # fmt: skip
def test_a_time_in_words(seconds, words):
  assert durations.in_words(seconds) == words
