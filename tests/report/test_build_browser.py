"""The page of the quick start, made by its own program, in a browser."""

import pathlib
import subprocess
import sys

import pytest

import semppl_jax
from semppl_jax.report import build
from tests.helpers import browser, fake_runs

ROOT = pathlib.Path(semppl_jax.__file__).resolve().parent.parent
PHONE, DESKTOP = (390, 844), (1280, 900)
SECTIONS = (
  'Is it learning?', 'Are the pseudo-labels correct?',
  'Which views does the network get?', 'Which images are similar to it?',
  'How are the embeddings spread?', 'Where did the time go?', 'What was run?',
)  # fmt: skip
pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope='module')
def quickstart(tmp_path_factory):
  """The page at the end of `make quickstart`, of fewer steps."""
  workdir = tmp_path_factory.mktemp('runs') / 'quickstart'
  done = subprocess.run(
    [
      sys.executable, '-m', 'semppl_jax.main',
      '--config=configs/quickstart.py', f'--workdir={workdir}',
      '--config.duration=60 steps', '--config.log_every=5 steps',
      '--config.optimizer.warmup=10 steps', '--config.eval.every=30 steps',
    ],
    cwd=ROOT, capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  page = workdir / 'report.html'
  assert done.stdout.rstrip().endswith(f'Report: {page}')
  return page


@pytest.fixture(scope='module')
def chromium():
  with browser.started() as started:
    yield started


@pytest.mark.parametrize('size', [PHONE, DESKTOP], ids=['phone', 'desktop'])
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_the_quick_start_s_page(chromium, quickstart, tmp_path, size, scheme):
  with browser.page(chromium, quickstart, *size, scheme) as (page, wrong):
    assert tuple(page.locator('h2').all_inner_texts()) == SECTIONS
    for section in page.locator('section').all():
      assert section.locator('figure, .wide, .panel').count()
    _assert_fits(page, size[0])
    # As a person would see it: pictures are there and not empty.
    broken = page.evaluate(
      '[...document.images].filter(x => !x.naturalWidth).length'
    )
    assert page.locator('img').count() > 50 and broken == 0
    ground = page.evaluate('getComputedStyle(document.body).backgroundColor')
    assert (ground == 'rgb(255, 255, 255)') == (scheme == 'light')
    page.screenshot(path=tmp_path / 'page.png', full_page=True)
    assert (tmp_path / 'page.png').stat().st_size > 200_000
    assert not wrong


def _assert_fits(page, width):
  """Nothing is wider than the screen but what scrolls by itself."""
  assert page.evaluate('document.documentElement.scrollWidth') <= width
  wide = page.evaluate(
    """width => [...document.body.querySelectorAll('*')]
      .filter(x => !x.closest('.scroll') && !x.closest('svg'))
      .filter(x => x.getBoundingClientRect().right > width + 0.5)
      .map(x => x.outerHTML.slice(0, 200))""",
    width,
  )
  assert not wide


def test_letters_of_drawings_can_be_read_on_a_phone(chromium, quickstart):
  with browser.page(chromium, quickstart, *PHONE) as (page, _):
    heights = page.evaluate(
      """[...document.querySelectorAll('svg text')]
        .map(x => parseFloat(getComputedStyle(x).fontSize)
                  * x.getScreenCTM().a)"""
    )
    turned = [h for h in heights if h > 0]
    assert len(turned) > 100 and min(turned) > 7


def test_it_prints_on_pages_of_paper(chromium, quickstart):
  with browser.page(chromium, quickstart, *DESKTOP, 'dark') as (page, wrong):
    sheets = page.pdf(format='A4').count(b'/Type /Page\n')
    assert 5 < sheets < 40
    page.emulate_media(media='print', color_scheme='light')
    assert page.locator('nav').is_hidden()
    assert not wrong


def test_names_that_are_html_do_nothing(chromium, tmp_path):
  names = ['<script>console.log(1)</script>', '<img src=x onerror=alert(1)>']
  run = fake_runs.write(tmp_path / 'run', classes=2, names=names)
  out = tmp_path / 'page.html'
  build.write([run], out, pictures=False)
  with browser.page(chromium, out, *PHONE) as (page, wrong):
    assert page.locator('img').count() == 0
    assert names[0] in page.locator('#pseudo').text_content()
    _assert_fits(page, PHONE[0])
    assert not wrong


def test_a_hundred_runs_fit_on_a_phone(chromium, tmp_path):
  name = 'a_name_of_a_run_that_nobody_would_like_to_read_aloud'
  runs = [
    fake_runs.write(tmp_path / f'{name}_{n}', records=10, seed=n)
    for n in range(100)
  ]
  out = tmp_path / 'page.html'
  build.write(runs, out, pictures=False)
  with browser.page(chromium, out, *PHONE) as (page, wrong):
    _assert_fits(page, PHONE[0])
    assert not wrong
