"""The page, the figure and the files of a comparison, from made-up runs."""

import json

import numpy as np
from PIL import Image
import pytest

from semppl_jax.tools.comparison import aggregate, figure, markdown

SETTINGS = {
  'budget': '4000 steps',
  'seeds': 2,
  'evaluations': 2,
  'jobs': 1,
  'data': 'embedded/train',
  'train_images': 6000,
  'train_images_with_label': 6000,
  'labelled_images': 600,
  'test_images': 2000,
  'classes': 10,
  'network': 'resnet_tiny',
  'batch_size': 64,
  'views': '2 x 32 px',
  'knn_k': 20,
  'devices': '1 x cpu',
  'differences': [
    {'field': 'views.large.count', 'values': {'one': 2, 'two': 1, 'sup': 2}}
  ],
  'own': [
    {'field': 'ema.decay', 'values': {'one': 0.9, 'two': 0.99}},
    {
      'field': 'data.labelled_per_batch',
      'values': {'one': 16, 'two': 16, 'sup': 64},
    },
  ],
}
METRIC = 'knn/encoder/labelled/k20'


def _method(**fields):
  return {
    'file': 'FILE',
    'method': 'METHOD',
    'steps': 4000,
    'labels_only': False,
    'support': None,
    'config': {},
  } | fields


def _support(views):
  return {'classes_per_batch': 10, 'images_per_class': 4, 'views': views}


def _run(score, *, minutes=5.0, baselines=None, **figures):
  curve = [
    {
      'step': 2000 * n,
      'images': 128000 * n,
      'minutes': minutes and minutes * n / 2,
      'scores': {METRIC: score * n / 2},
    }
    for n in (1, 2)
  ]
  figures = {'knn_labelled': score, 'classifier': None} | figures
  return {
    'figures': figures | {'minutes': minutes},
    'floors': baselines or {},
    'curve': curve,
    'summary': {'devices': '1 x cpu', 'versions': {'jax': '1'}},
  }


def _baselines(score):
  return {
    'raw pixels': {'knn_labelled': score, 'knn_all': None},
    'untrained encoder': {'knn_labelled': score / 2, 'knn_all': None},
  }


@pytest.fixture
def made(tmp_path):
  """Two seeds of `one`, a run and a failure of `two`, and one of `sup`."""
  report = aggregate.Report(
    tmp_path / 'out',
    SETTINGS,
    {
      'one': _method(),
      'two': _method(support=_support(2)),
      'sup': _method(labels_only=True),
    },
  )
  report.add(
    'one', 0, _run(0.4, baselines=_baselines(0.3), step_memory_gib=1.234567)
  )
  report.add(
    'one', 1, _run(0.5, baselines=_baselines(0.3), step_memory_gib=1.274)
  )
  report.add('two', 0, _run(0.45, images_per_second=1234.5, input_wait=0.004))
  report.add_failure('two', 1, 'Step 7 is not\nfinite.')
  report.add('sup', 0, _run(0.35, classifier=0.36))
  report.write()
  return report


PAGE = """\
# one, two, sup

Equal but for the differences below: 4,000 steps in batches of 64 images, \
2 x 32 px views of each; resnet_tiny; embedded/train with 6,000 images of 10 \
classes, 600 of them labelled, and 2,000 test images; on 1 x cpu.

![Accuracy against images seen and against time](comparison.png)

|  | k-NN, 600 | classifier | images/s | input wait | minutes | step, GiB \
| seeds |
| --- | --- | --- | --- | --- | --- | --- | --- |
| raw pixels | 30.0 |  |  |  |  |  | 2 |
| untrained encoder | 15.0 |  |  |  |  |  | 2 |
| one | 45.0 ± 63.5 |  |  |  | 5.00 | 1.25 ± 0.25 | 2 |
| two | 45.0 |  | 1,234 | 0.4 | 5.00 |  | 1 of 2 |
| sup (labels only) | 35.0 | 36.0 |  |  | 5.00 |  | 1 of 2 |

- Figures are means over the seeds ± half of their 95 % interval (Student's \
t). Accuracies are top-1 on the test images in %. k-NN uses k = 20, on the \
encoder or the projections, among as many labelled training images as the \
column says.
- Minutes are training time, without evaluation, saving and compilation; the \
input wait is the share of it in % in which the step waited for images. GiB \
is the memory of the compiled step on each device.
- two also gets 4 labelled images of each of 10 classes (2 views of each \
image) with every batch; the images seen do not include them.
- Allowed difference: `views.large.count` 2, but 1 of two.
- The linear probe learns from the labelled rows of each batch, whose number \
differs between the methods; compare by k-NN.
- Differences between the configs: `ema.decay` 0.9 of one, 0.99 of two; \
`data.labelled_per_batch` 16, but 64 of sup.
- **two, seed 1, failed:** Step 7 is not finite.
"""


def test_the_page(made, tmp_path):
  assert (tmp_path / 'out' / 'comparison.md').read_text() == PAGE
  assert markdown.table(made.content) in made.describe()


def test_one_seed_has_no_interval_and_minutes_have_their_steps(made):
  content = made.content | {'budget': '10 minutes', 'seeds': 1}
  content['methods']['two'].update(steps=None, support=_support(1))
  text = markdown.page(content, 'FIGURE')
  assert '10 minutes of training (4,000 steps of one, 4,000 steps of sup)' in (
    text
  )
  assert 'of 10 classes (1 view of each image) with' in text
  assert 'Figures are of one seed, without an interval.' in text


def test_parallel_runs_are_noted(made):
  assert 'at a time' not in markdown.page(made.content, 'f.png')
  content = made.content | {'jobs': 2}
  assert '- 2 runs at a time' in markdown.page(content, 'f.png')


def test_runs_that_do_not_compare_are_noted(made):
  content = made.content | {'differences': []}
  text = markdown.page(content, 'FIGURE')
  assert 'Equal for all: 4,000' in text
  assert 'labels only:' not in text and 'The runs differ' not in text
  content['methods']['sup']['labels_only'] = False
  content['methods']['two']['runs']['0']['summary'] = {
    'devices': '8 x TPU v3',
    'versions': {'jax': '2'},
  }
  text = markdown.page(content, 'FIGURE')
  assert 'labels only: the accuracy of this baseline is unknown' in text
  assert 'in their devices:** 1 x cpu, but 8 x TPU v3 of two, seed 0.' in text
  assert 'in their versions:** jax 1, but jax 2 of two, seed 0.' in text


def test_baselines_count_once_for_each_seed(made):
  made.add('two', 0, _run(0.4, baselines=_baselines(0.3)))
  made.write()
  pixels = made.content['floors']['raw pixels']['knn_labelled']
  assert pixels['values'] == (0.3, 0.3)


def test_the_json_has_every_run_and_the_means(made, tmp_path):
  content = json.loads((tmp_path / 'out' / 'comparison.json').read_text())
  assert content == json.loads(json.dumps(made.content))
  one = content['methods']['one']
  assert [*one['runs']] == ['0', '1']
  assert one['figures']['knn_labelled']['mean'] == pytest.approx(0.45)
  assert one['figures']['knn_labelled']['values'] == [0.4, 0.5]
  assert content['floors']['untrained encoder']['knn_labelled']['mean'] == 0.15
  assert content['methods']['two']['failures'] == {
    '1': 'Step 7 is not\nfinite.'
  }
  assert {'python', 'jax', 'semppl_jax'} <= content['versions'].keys()
  assert made.failed
  assert made.has_baselines(1) and not made.has_baselines(2)


def test_the_figure_has_a_line_for_each_method_and_baseline(made):
  drawn = figure.draw(made.content)
  images, minutes = drawn.axes
  assert images.get_xlabel() == 'Images seen'
  assert minutes.get_xlabel() == 'Minutes of training'
  assert images.get_ylabel() == 'k-NN top-1 among 600 labelled images, %'
  names = ['one', 'two', 'sup (labels only)', 'raw pixels', 'untrained encoder']
  for panel, end in ((images, 256000), (minutes, 5.0)):
    lines = {line.get_label(): line for line in panel.get_lines()}
    assert [*lines] == names
    np.testing.assert_allclose(lines['one'].get_xdata(), [end / 2, end])
    # The mean of 40 and 50 %, and a band between them.
    np.testing.assert_allclose(lines['one'].get_ydata(), [22.5, 45.0])
    (band,) = panel.collections
    (path,) = band.get_paths()
    assert path.vertices[:, 1].min() == pytest.approx(20)
    assert path.vertices[:, 1].max() == pytest.approx(50)
    np.testing.assert_allclose(lines['raw pixels'].get_ydata(), 30.0)
    for name in names[3:]:
      assert lines[name].get_linestyle() == '--'
    styles = [(lines[x].get_color(), lines[x].get_marker()) for x in names[:3]]
    assert len(set(styles)) == 3


def test_the_legend_covers_nothing(made):
  drawn = figure.draw(made.content)
  drawn.canvas.draw()
  (legend,) = drawn.legends
  assert len(legend.get_texts()) == 5
  box = legend.get_window_extent()
  assert drawn.bbox.x0 <= box.x0 and box.x1 <= drawn.bbox.x1
  for panel in drawn.axes:
    assert not box.overlaps(panel.get_tightbbox())


def test_the_figure_is_written_and_not_blank(made, tmp_path):
  image = Image.open(tmp_path / 'out' / 'comparison.png')
  assert image.size == (1650, 810)
  pixels = np.asarray(image.convert('RGB')).reshape(-1, 3)
  assert 0.01 < (pixels != 255).any(1).mean() < 0.5
  for color in ((0, 114, 178), (213, 94, 0), (0, 158, 115)):
    assert (pixels == color).all(1).sum() > 100


def test_twenty_methods_are_told_apart(tmp_path):
  names = [f'method_{n}' for n in range(20)]
  report = aggregate.Report(tmp_path, SETTINGS, {x: _method() for x in names})
  for name in names:
    report.add(name, 0, _run(0.5))
  images, _ = figure.draw(report.content).axes
  styles = {(x.get_color(), x.get_marker()) for x in images.get_lines()}
  assert len(styles) == 20


def test_without_a_clock_or_a_run_there_is_a_figure_all_the_same(tmp_path):
  report = aggregate.Report(tmp_path, SETTINGS, {'one': _method()})
  report.add_failure('one', 0, 'No memory.')
  report.write()
  assert not figure.draw(report.content).legends
  report.add('one', 1, _run(0.5, minutes=None))
  report.write()
  images, minutes = figure.draw(report.content).axes
  assert len(images.get_lines()) == 1
  assert not minutes.get_lines()


def test_a_write_that_fails_leaves_the_files_before_it(
  made, tmp_path, monkeypatch
):
  before = {x: x.read_bytes() for x in (tmp_path / 'out').iterdir()}
  assert {x.name for x in before} == {
    'comparison.json', 'comparison.md', 'comparison.png'
  }  # fmt: skip
  made.add('sup', 1, _run(0.9))

  def full(content, path):
    path.write_bytes(b'half')
    raise OSError('No space left on device')

  monkeypatch.setattr(figure, 'save', full)
  with pytest.raises(OSError, match='No space'):
    made.write()
  png = tmp_path / 'out' / 'comparison.png'
  assert png.read_bytes() == before[png]
