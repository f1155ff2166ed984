"""A headless Chromium: that of the system, or the one that playwright has."""

import contextlib
import os
import shutil

from playwright import sync_api

_NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')


@contextlib.contextmanager
def started():
  """A browser; its pages reach nothing but files."""
  found = os.environ.get('CHROMIUM') or next(
    filter(None, map(shutil.which, _NAMES)), None
  )
  with sync_api.sync_playwright() as playwright:
    try:
      browser = playwright.chromium.launch(
        executable_path=found,
        # As root in a container Chromium has no sandbox.
        args=['--no-sandbox'] if os.geteuid() == 0 else [],
      )
    except sync_api.Error as error:
      raise RuntimeError(
        'These tests need Chromium: apt-get install chromium, or playwright'
        ' install chromium, or its path in CHROMIUM.'
      ) from error
    with contextlib.closing(browser):
      yield browser


@contextlib.contextmanager
def page(browser, file, width, height, scheme='light'):
  """A page of a window, and what went wrong in it, a list that fills."""
  context = browser.new_context(
    viewport={'width': width, 'height': height}, color_scheme=scheme
  )
  with contextlib.closing(context):
    shown, wrong = context.new_page(), []
    shown.on('console', lambda message: wrong.append(message.text))
    shown.on('pageerror', lambda error: wrong.append(str(error)))
    shown.on(
      'request',
      lambda request: (
        request.url.startswith(('file:', 'data:')) or wrong.append(request.url)
      ),
    )
    shown.goto(file.as_uri())
    yield shown, wrong
