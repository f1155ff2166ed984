"""Takes the picture of a run's page that the documentation shows.

  python benchmarks/report_picture.py --run=RUN --out=docs/report.png

Makes the page anew, and needs Chromium and the extra `test`.
"""

import pathlib

from absl import app, flags
from playwright.sync_api import sync_playwright

from semppl_jax.report import build

_RUN = flags.DEFINE_string('run', 'runs/quickstart', 'The run.')
_OUT = flags.DEFINE_string('out', 'docs/report.png', 'The picture to write.')
_CHROMIUM = flags.DEFINE_string('chromium', '/usr/bin/chromium', 'Its path.')


def main(_) -> None:
  """Writes the page and the picture of its beginning."""
  run = pathlib.Path(_RUN.value)
  page = pathlib.Path(str(build.write([run], run / build.FILE)))
  with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
      executable_path=_CHROMIUM.value, args=['--no-sandbox']
    )
    tab = browser.new_page(
      viewport={'width': 1480, 'height': 1500}, color_scheme='light'
    )
    tab.goto(page.absolute().as_uri())
    tab.screenshot(path=_OUT.value)
    browser.close()
  print(f'{_OUT.value} is the beginning of {page}.')


if __name__ == '__main__':
  app.run(main)
