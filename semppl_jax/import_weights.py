"""Converts weights of other projects to a checkpoint of this one.

  python -m semppl_jax.import_weights FILE --out=DIR [--class_names=FILE]
    [--interpolation=bilinear --resize=256 --crop=224
    --mean=0.485,0.456,0.406 --std=0.229,0.224,0.225]

FILE is a checkpoint of DeepMind (SemPPL, ReLICv2, BYOL), a `.pth.tar` of PAWS,
or a ResNet of torchvision or timm (`.pth`, `.safetensors`); no code in it is
executed. DIR is for `evaluate --checkpoint=` and `--config.init_from=`.

These files do not contain the preprocessing of images: the usual one is taken
and printed, and flags override it.
"""

from collections.abc import Sequence
import pathlib

from absl import flags

from semppl_jax.config import loading
from semppl_jax.exchange import torch_import
from semppl_jax.exchange.torch_import import ImportedWeights
from semppl_jax.models.weights import Preprocessing, summarize, WeightsError
from semppl_jax.runtime import cli, errors

_OUT = flags.DEFINE_string('out', None, 'The directory to write.')
_CLASS_NAMES = flags.DEFINE_string(
  'class_names', None, 'File of class names in their order, one on a line.'
)
_NETWORK = flags.DEFINE_string(
  'network', 'online', "Network of a DeepMind file: 'online' or 'target'."
)
_INTERPOLATION = flags.DEFINE_string(
  'interpolation', None, "Interpolation of images: 'bicubic' or 'bilinear'."
)
_RESIZE = flags.DEFINE_integer(
  'resize', None, 'Short side of a scaled image, pixels.'
)
_CROP = flags.DEFINE_integer('crop', None, 'Side of the center crop, pixels.')
_MEAN = flags.DEFINE_list(
  'mean', None, 'Three numbers, subtracted from channels in [0, 1].'
)
_STD = flags.DEFINE_list('std', None, 'Three numbers, divisors of channels.')


def main(argv: Sequence[str]) -> int:
  """Imports the file that is named and returns the exit status."""
  return cli.run_cli(lambda: _import(argv), 'No weights were written.')


def _import(argv: Sequence[str]) -> int:
  from semppl_jax.exchange import load, weights_dir

  if len(argv) != 2 or not _OUT.value:
    raise loading.ConfigError(
      'one file and --out are needed, as in'
      ' import_weights resnet50.pth --out=DIR.'
    )
  path = pathlib.Path(argv[1]).expanduser()
  out = pathlib.Path(_OUT.value or '').expanduser()
  if not path.is_file():
    raise WeightsError(f'{path} not found.')
  names = _class_names()
  overrides = _overrides()
  imported = load.import_file(path, _NETWORK.value)
  classes = imported.weights.network.classifier.classes
  if names and 'classifier' in imported.weights.heads and len(names) != classes:
    raise WeightsError(
      f'--class_names={_CLASS_NAMES.value} has {len(names)} names, and the'
      f' classifier of {path} has {classes} classes.'
    )
  if names:
    weights = imported.weights._replace(class_names=names)
    imported = imported._replace(weights=weights)
  imported = _with_preprocessing(imported, overrides)
  weights_dir.write(out, imported.weights)
  print(f'{out}: {describe(imported)}.')  # noqa: T201
  return errors.OK


def describe(imported: ImportedWeights) -> str:
  """Returns one line about the network of a file."""
  weights = imported.weights
  sizes = weights.network
  heads = {
    'projector': f'projector ({sizes.projector.layers} layers,'
    f' {sizes.projector.output} outputs)',
    'predictor': f'predictor ({sizes.predictor.hidden} hidden units)',
    'classifier': f'classifier ({sizes.classifier.classes} classes)',
  }
  parts = [
    torch_import.describe(sizes),
    f'padding {sizes.padding!r}',
    _describe_preprocessing(weights.preprocessing),
    *(heads[head] for head in weights.heads),
  ]
  if imported.left_out:
    parts.append(f'left out: {summarize(list(imported.left_out), 3)}')
  return ', '.join(parts)


def _describe_preprocessing(p: Preprocessing) -> str:
  mean, std = (' '.join(map(str, values)) for values in (p.mean, p.std))
  return f'{p.interpolation} {p.resize}/{p.crop}, mean {mean}, std {std}'


def _overrides() -> dict[str, object]:
  """Returns the fields of the preprocessing that flags set."""
  fields = {
    'interpolation': _INTERPOLATION.value,
    'resize': _RESIZE.value,
    'crop': _CROP.value,
    'mean': _numbers(_MEAN),
    'std': _numbers(_STD),
  }
  return {name: value for name, value in fields.items() if value is not None}


def _numbers(flag: flags.FlagHolder) -> tuple[float, ...] | None:
  if flag.value is None:
    return None
  try:
    return tuple(map(float, flag.value))
  except ValueError:
    raise WeightsError(
      f'--{flag.name}={",".join(flag.value)} must be three numbers.'
    ) from None


def _with_preprocessing(
  imported: ImportedWeights, fields: dict[str, object]
) -> ImportedWeights:
  from semppl_jax.exchange import weights_dir

  weights = imported.weights
  changed = weights.preprocessing._replace(**fields)
  wrong = weights_dir.preprocessing_problem(changed)
  if wrong:
    raise WeightsError(f'--{wrong}.')
  return imported._replace(weights=weights._replace(preprocessing=changed))


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
