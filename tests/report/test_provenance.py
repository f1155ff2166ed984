"""Section on config, hashes, versions and devices."""

from semppl_jax.report import provenance, run_record
from semppl_jax.report.components import Table
from tests.helpers import fake_runs


def _tables(*paths):
  runs = run_record.read_all(paths)
  blocks = [x for x in provenance.blocks(runs) if isinstance(x, Table)]
  return {table.title: table for table in blocks}


def test_one_run_is_compared_with_the_defaults(tmp_path):
  tables = _tables(fake_runs.write(tmp_path / 'run', method='simclr', seed=5))
  changed = tables['Fields that differ from configs/base.py']
  rows = {name: (own, base) for name, own, base in changed.rows}
  assert rows['seed'] == ('5', '0')
  assert all(own != base for own, base in rows.values())
  metadata = dict(tables['Data, labels, machine'].rows)
  assert metadata['method'] == 'simclr' and metadata['images per step'] == '64'


def test_several_runs_are_compared_with_each_other(tmp_path):
  paths = [fake_runs.write(tmp_path / str(n), seed=n) for n in range(2)]
  differ = _tables(*paths)['Fields that differ between the runs']
  assert differ.head == ('field', '0', '1')
  assert [tuple(row) for row in differ.rows] == [('seed', '0', '1')]


def test_more_runs_than_columns_are_counted(tmp_path):
  paths = [
    fake_runs.write(tmp_path / str(n), seed=n, records=2) for n in range(10)
  ]
  runs = run_record.read_all(paths)
  notes = [x.text for x in provenance.blocks(runs) if not hasattr(x, 'title')]
  assert any(text.startswith('The first 8 of 10 runs') for text in notes)
  assert list(provenance.page_data(runs)) == [run.name for run in runs]
