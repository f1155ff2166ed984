"""Sections as one self-contained page: no script, nothing from elsewhere.

What comes from users, such as names of classes and files, is escaped by the
template.
"""

from collections.abc import Mapping, Sequence
import json
import math
import pathlib
import time
from typing import Any

from semppl_jax import __version__
from semppl_jax.report import components as components_lib
from semppl_jax.report.components import Figure, Section

_HERE = pathlib.Path(__file__).parent


def render(
  title: str, sections: Sequence[Section], particulars: Mapping[str, Any]
) -> str:
  """Returns the page as HTML.

  Args:
    title: what the page is of.
    sections: its sections, in their order.
    particulars: config and facts of the runs, for the data of the page.
  """
  import jinja2
  from markupsafe import Markup

  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.filters['kind'] = lambda block: type(block).__name__
  return environment.get_template('page.html').render(
    title=title,
    sections=sections,
    style=Markup((_HERE / 'page.css').read_text()),
    svg=Markup,
    data=Markup(_data(sections, particulars)),
    made=time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime()),
    version=__version__,
  )


def _data(sections: Sequence[Section], particulars: Mapping[str, Any]) -> str:
  """What the figures are drawn from, as JSON that ends no script element."""
  figures = {
    section.key: _figures(section)
    for section in sections
    if any(isinstance(block, Figure) for block in section.blocks)
  }
  text = json.dumps(
    _finite({'figures': figures, 'runs': particulars}),
    separators=(',', ':'),
    allow_nan=False,
  )
  return text.replace('<', '\\u003c').replace('&', '\\u0026')


def _finite(tree: Any) -> Any:
  """The same with None for numbers that JSON does not have."""
  if isinstance(tree, Mapping):
    return {str(key): _finite(value) for key, value in tree.items()}
  if isinstance(tree, list | tuple):
    return [_finite(value) for value in tree]
  return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def _figures(section: Section) -> dict[str, Any]:
  """Data of each figure by its title, those of several runs by run first."""
  found: dict[str, Any] = {}
  prefix = ''
  for block in section.blocks:
    if isinstance(block, components_lib.Heading):
      prefix = f'{block.text}: '
    elif isinstance(block, Figure):
      found[prefix + block.title] = block.data
  return found
