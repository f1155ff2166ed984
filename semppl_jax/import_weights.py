"""Brings the weights of others into a checkpoint of this project.

  python -m semppl_jax.import_weights FILE --out=DIR [--class_names=FILE]
    [--interpolation=bilinear --resize=256 --crop=224
    --mean=0.485,0.456,0.406 --std=0.229,0.224,0.225]

FILE is a checkpoint of DeepMind's (SemPPL, ReLICv2, BYOL), PAWS's `.pth.tar`,
or a ResNet of torchvision or timm (`.pth`, `.safetensors`); nothing in it is
run. DIR is what `evaluate --checkpoint=` and `--config.init_from=` take.

No foreign file says how its images were prepared: the usual way is taken and
printed, and the flags correct it.
"""

from collections.abc import Sequence
import pathlib
from typing import Any

from absl import flags

from semppl_jax.config import loading
from semppl_jax.exchange.torch_import import describe as architecture, Found
from semppl_jax.models.weights import listed, Preprocessing, WeightsError
from semppl_jax.runtime import cli, errors

_OUT = flags.DEFINE_string('out', None, 'The directory to write.')
_CLASS_NAMES = flags.DEFINE_string(
  'class_names', None, 'Names of the classes in their order, one on a line.'
)
_NETWORK = flags.DEFINE_string(
  'network', 'online', "Which of DeepMind's networks: 'online' or 'target'."
)
_INTERPOLATION = flags.DEFINE_string(
  'interpolation', None, "How images are scaled: 'bicubic' or 'bilinear'."
)
_RESIZE = flags.DEFINE_integer(
  'resize', None, 'Their short side is scaled to so many pixels.'
)
_CROP = flags.DEFINE_integer(
  'crop', None, 'Side of the square cut from the centre, pixels.'
)
_MEAN = flags.DEFINE_list(
  'mean', None, 'Three numbers, taken off the channels of [0, 1].'
)
_STD = flags.DEFINE_list('std', None, 'Three numbers, channels are divided by.')


def main(argv: Sequence[str]) -> int:
  """Imports the file that the flags say and returns the exit status."""
  return cli.run_cli(
    lambda: _import(argv), 'No weights were left in their directory.'
  )


def _import(argv: Sequence[str]) -> int:
  from semppl_jax.exchange import detect, weights_dir

  if len(argv) != 2 or not _OUT.value:
    raise loading.ConfigError(
      'one file and --out are needed, as in'
      ' import_weights resnet50.pth --out=DIR.'
    )
  path = pathlib.Path(argv[1]).expanduser()
  out = pathlib.Path(_OUT.value or '').expanduser()
  if weights_dir.holds(out):
    raise WeightsError(
      f'--out={out} holds weights already; name another directory.'
    )
  if not path.is_file():
    raise WeightsError(f'{path} not found.')
  names = _class_names()
  corrected = _corrections()
  found = detect.find(path, _NETWORK.value)
  classes = found.weights.network.classifier.classes
  if names and 'classifier' in found.weights.heads and len(names) != classes:
    raise WeightsError(
      f'--class_names={_CLASS_NAMES.value} has {len(names)} names, and the'
      f' classifier of {path} has {classes} classes.'
    )
  if names:
    found = found._replace(weights=found.weights._replace(class_names=names))
  found = _prepared(found, corrected)
  weights_dir.write(out, found.weights)
  print(f'{out}: {describe(found)}.')  # noqa: T201
  return errors.OK


def describe(found: Found) -> str:
  """Says in one line what a file held."""
  weights = found.weights
  sizes = weights.network
  heads = {
    'projector': f'projector ({sizes.projector.layers} layers,'
    f' {sizes.projector.output} outputs)',
    'predictor': f'predictor ({sizes.predictor.hidden} hidden units)',
    'classifier': f'classifier ({sizes.classifier.classes} classes)',
  }
  parts = [
    architecture(sizes),
    f'padding {sizes.padding!r}',
    preparation(weights.preprocessing),
    *(heads[head] for head in weights.heads),
  ]
  if found.left_out:
    parts.append(f'left out: {listed(list(found.left_out), 3)}')
  return ', '.join(parts)


def preparation(of: Preprocessing) -> str:
  """Says how images are prepared: `bilinear 256/224, mean ..., std ...`."""
  mean, std = (' '.join(map(str, values)) for values in (of.mean, of.std))
  return f'{of.interpolation} {of.resize}/{of.crop}, mean {mean}, std {std}'


def _corrections() -> dict[str, Any]:
  """The fields of the preprocessing that flags say."""
  given = {
    'interpolation': _INTERPOLATION.value,
    'resize': _RESIZE.value,
    'crop': _CROP.value,
    'mean': _numbers(_MEAN),
    'std': _numbers(_STD),
  }
  return {name: value for name, value in given.items() if value is not None}


def _numbers(flag: flags.FlagHolder[Any]) -> tuple[float, ...] | None:
  if flag.value is None:
    return None
  try:
    return tuple(map(float, flag.value))
  except ValueError:
    raise WeightsError(
      f'--{flag.name}={",".join(flag.value)} must be three numbers.'
    ) from None


def _prepared(found: Found, corrected: dict[str, Any]) -> Found:
  from semppl_jax.exchange import weights_dir

  prepared = found.weights.preprocessing._replace(**corrected)
  wrong = weights_dir.problem(prepared)
  if wrong:
    raise WeightsError(f'--{wrong}.')
  return found._replace(weights=found.weights._replace(preprocessing=prepared))


def _class_names() -> tuple[str, ...]:
  if not _CLASS_NAMES.value:
    return ()
  path = pathlib.Path(_CLASS_NAMES.value).expanduser()
  try:
    lines = [line.strip() for line in path.read_text().splitlines()]
  except (OSError, UnicodeDecodeError) as error:
    raise WeightsError(f'--class_names={path} cannot be read.') from error
  names = tuple(line for line in lines if line)
  if not names or len(set(names)) != len(names):
    raise WeightsError(
      f'--class_names={path} has {len(names)} names, {len(set(names))} of them'
      ' different; each class needs one of its own.'
    )
  return names


if __name__ == '__main__':
  cli.start(main)
