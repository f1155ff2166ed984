"""Page of runs, made of their files alone, parsed and checked."""

import html.parser
import json
import re

from semppl_jax.report import build

KEYS = (
  'learning', 'pseudo', 'sight', 'alike', 'space', 'time', 'particulars',
)  # fmt: skip
_VOID = {'meta', 'link', 'img', 'br'}
_LINKS = ('src', 'href', 'xlink:href', 'action')


class Page(html.parser.HTMLParser):
  """Texts, tags and attributes of a page, whose tags must match."""

  def __init__(self, text):
    super().__init__()
    self.open, self.tags, self.texts = [], [], []
    self.feed(text)
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in _VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] not in ('style', 'script'):
      self.texts.append(data)

  @property
  def text(self):
    return ' '.join(' '.join(self.texts).split())


def make(*paths):
  """Returns the parsed page and its data; nothing comes from elsewhere."""
  out = paths[0].parent / 'page.html'
  build.write(paths, out, pictures=False)
  content = out.read_text()
  assert len(content) < 10e6
  page = Page(content)
  assert tuple(a['id'] for tag, a in page.tags if tag == 'section') == KEYS
  links = [v for _, a in page.tags for k, v in a.items() if k in _LINKS]
  assert all(v.startswith(('#', 'data:')) for v in links)
  assert not re.search(r'(url\(|@import)[^)]*//', content)
  data = re.search(
    r'<script type="application/json" id="data">(.*?)</script>', content, re.S
  )
  return page, json.loads(data[1])
