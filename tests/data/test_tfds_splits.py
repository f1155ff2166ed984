import pytest

from semppl_jax.data import tfds_splits


def test_the_newest_prepared_version_is_found(tmp_path):
  for version in ('3.0.9', '3.0.10', 'broken'):
    (tmp_path / 'cifar10' / version).mkdir(parents=True)
    (tmp_path / 'cifar10' / version / 'dataset_info.json').touch()
  (tmp_path / 'cifar10' / '4.0.0').mkdir()  # Unfinished.
  found = tfds_splits.find('cifar10', str(tmp_path))
  assert found == 'cifar10:3.0.10'
  assert not tfds_splits.find('cifar100', str(tmp_path))


def test_a_set_that_is_not_prepared_is_named(tmp_path):
  with pytest.raises(ValueError, match="'voc/2007' is not prepared in '/"):
    tfds_splits.load('voc/2007', 'test', str(tmp_path))


def test_names_are_looked_up_in_a_table():
  table = {'a': 1, 'b': 2}
  assert tfds_splits.known('Transfer', table, 'b') == 2
  with pytest.raises(ValueError, match="Transfer set 'c' must be one of a, b"):
    tfds_splits.known('Transfer', table, 'c')
