"""Files, modules and pages that the documentation names exist."""

import pathlib
import re

import pytest

import semppl_jax

ROOT = pathlib.Path(semppl_jax.__file__).resolve().parent.parent
PACKAGE = ROOT / 'semppl_jax'
DOCS = ROOT / 'docs'
PAGES = sorted([*ROOT.glob('*.md'), *DOCS.glob('*.md')])
FILE = re.compile(
  r'\b(?:semppl_jax|configs|benchmarks|launch|tests|docs)/[\w/]+'
  r'\.(?:py|sh|sbatch|yaml|md|png)\b'
)


def _is_module(path):
  return path.with_suffix('.py').exists() or (path / '__init__.py').exists()


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_named_files_modules_and_pages_exist(page):
  text = page.read_text()
  for name in FILE.findall(text):
    # configs/NAME_quickstart.py is a file for the reader to write.
    assert 'NAME' in name or (ROOT / name).exists(), name
  for name in re.findall(r'\(api/([\w/]+)/index\.rst\)', text):
    assert _is_module(ROOT / name), name
  for name in re.findall(r'python -m (semppl_jax[\w.]*)', text):
    assert _is_module(ROOT / name.replace('.', '/')), name
  for link, anchor in re.findall(r'\]\(([\w/]+\.md)(#[\w-]+)?\)', text):
    target = page.parent / link
    assert target.exists(), link
    headings = re.findall(r'^#+ (.*)$', target.read_text(), re.MULTILINE)
    anchors = [
      '#' + re.sub(r'\W+', '-', h.lower()).strip('-') for h in headings
    ]
    assert not anchor or anchor in anchors, link + anchor


def test_the_path_of_a_batch_names_modules():
  text = (DOCS / 'inside.md').read_text()
  rows = re.findall(r'^\| (`[^|]+\.py`) \|', text, re.MULTILINE)
  files = [re.findall(r'`([\w/]+\.py)`', row) for row in rows]
  assert len(files) > 20
  for first, *others in files:
    assert (PACKAGE / first).exists(), first
    for other in others:
      # A name without a folder is in the folder of the first of its row.
      folder = PACKAGE if '/' in other else (PACKAGE / first).parent
      assert (folder / other).exists(), other


def test_changed_module_names_exist():
  text = (ROOT / 'CHANGELOG.md').read_text()
  names = re.findall(r'^  \| `[\w.]+` \| `([\w.]+)` \|', text, re.MULTILINE)
  assert len(names) == 10
  for name in names:
    assert _is_module(PACKAGE / name.replace('.', '/')), name
