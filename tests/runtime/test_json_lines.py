"""Files of one object a line: what is damaged is counted and passed over."""

from etils import epath

from semppl_jax.runtime import json_lines


def test_damaged_lines_are_counted(tmp_path):
  path = epath.Path(tmp_path) / 'x.jsonl'
  path.write_bytes(
    b'{"step": 1}\nnot json\n{"no": 1}\n[1]\n{"step": 2.0}\n\xff\n{"step": 3'
  )
  lines, damaged = json_lines.read(path)
  assert [line['step'] for line in lines] == [1, 2]
  assert damaged == 5


def test_a_file_that_is_not_there_has_no_line(tmp_path):
  path = epath.Path(tmp_path) / 'x.jsonl'
  assert json_lines.read(path) == ([], 0)
  assert json_lines.keep_until(path, 5) == []
  assert not path.exists()


def test_later_lines_are_cut(tmp_path):
  path = epath.Path(tmp_path) / 'x.jsonl'
  path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
  assert json_lines.keep_until(path, 2) == [{'step': 1}, {'step': 2}]
  assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
