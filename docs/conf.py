"""Configuration of the documentation: `make docs`."""

import pathlib
import re

from docutils import nodes
import latex2mathml.converter

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_INIT = (_ROOT / 'semppl_jax' / '__init__.py').read_text()

project = 'semppl_jax'
author = 'The authors of semppl_jax'
copyright = 'The authors of semppl_jax, Apache-2.0'
release = re.search(r"__version__ = '([^']+)'", _INIT)[1]

extensions = [
  'myst_parser',
  'autoapi.extension',
  'sphinx.ext.napoleon',
]
html_theme = 'furo'
html_title = 'semppl_jax'
html_math_renderer = 'mathml'
html_static_path = ['_static']
html_css_files = ['pages.css']
exclude_patterns = ['_build']

# Headings can be linked to, as in data.md#input-speed.
myst_heading_anchors = 3
myst_enable_extensions = ['dollarmath', 'deflist']

# API pages come from the source text: two commands cannot be imported into one
# process, since both define their flags.
autoapi_dirs = [str(_ROOT / 'semppl_jax')]
autoapi_root = 'api'
autoapi_add_toctree_entry = False
autoapi_keep_files = False
autoapi_member_order = 'bysource'
autoapi_options = ['members', 'undoc-members', 'show-module-summary']
autoapi_python_class_content = 'class'
autoapi_own_page_level = 'module'

napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Else the fields of a NamedTuple appear twice.
napoleon_use_ivar = True
# Single backticks are code here.
default_role = 'code'

suppress_warnings = [
  # Constants imported from another module: their own pages have them.
  'autoapi.python_import_resolution',
  # Classes of the same name in several modules.
  'ref.python',
]


def _as_plain_text(app, what, name, obj, options, lines):
  """Converts a docstring, plain text with backticks, to reStructuredText."""
  del app, name, obj, options
  text = _escaped('\n'.join(lines))
  if what == 'module':
    # Indented commands and tables are literal blocks.
    text = re.sub(r'\n\n(?=  )', '\n\n::\n\n', text)
  lines[:] = text.split('\n')


def _escaped(text):
  """Escapes bars and stars outside of backticks."""
  parts = text.split('`')
  parts[::2] = [re.sub(r'([|*])', r'\\\1', part) for part in parts[::2]]
  return '`'.join(parts)


def _show_math(display):
  """Returns a visitor that writes a formula as MathML."""

  def visit(translator, node):
    mathml = latex2mathml.converter.convert(node.astext(), display=display)
    if display == 'block':
      mathml = f'<div class="math">{mathml}</div>'
    translator.body.append(mathml)
    raise nodes.SkipNode

  return visit


def setup(app):
  """Registers the docstring conversion and the MathML renderer."""
  # Before napoleon parses the sections.
  app.connect('autodoc-process-docstring', _as_plain_text, priority=100)
  app.add_html_math_renderer(
    'mathml', (_show_math('inline'), None), (_show_math('block'), None)
  )
