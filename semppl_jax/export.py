"""Writes a trained network for other programs, and checks what it wrote.

  python -m semppl_jax.export --checkpoint=RUN --format=onnx --out=encoder.onnx

Formats: safetensors (torchvision and timm), deepmind, saved_model, stablehlo,
onnx and features. Beside the file goes `<out>.json`, with normalisation, class
names and input size.
"""

import pathlib

from absl import app, flags

from semppl_jax.config import loading
from semppl_jax.runtime import cli

_CONFIG = loading.define_flag('config')
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', None, 'A run, a checkpoint in it, or imported weights.'
)
_FORMAT = flags.DEFINE_string('format', None, 'What to write.')
_OUT = flags.DEFINE_string('out', None, 'The file or directory to write.')
_HEADS = flags.DEFINE_list(
  'heads',
  [],
  'Heads to write too: projector, predictor, prototypes, classifier.',
)
_OVERWRITE = flags.DEFINE_boolean(
  'overwrite', False, 'Replace an earlier export.'
)


def main(_) -> int:
  """Exports what the flags say and returns the exit status."""
  return cli.guarded(_export, 'No file was left.')


def _export() -> int:
  from semppl_jax.exchange import export, load
  from semppl_jax.runtime import signals

  given = [flag.value for flag in (_CHECKPOINT, _FORMAT, _OUT)]
  checkpoint, format_name, place = (value or '' for value in given)
  if not all(given):
    raise loading.ConfigError(
      '--checkpoint, --format and --out are needed, as in'
      ' --checkpoint=RUN --format=onnx --out=encoder.onnx.'
    )
  out = pathlib.Path(place).expanduser().absolute()
  try:
    with signals.at_once() as unless_stopped:
      weights = load.load(checkpoint)
      if _CONFIG.value is not None:
        weights = weights._replace(config=_CONFIG.value)
      measured = export.export(
        weights,
        format_name,
        out,
        tuple(_HEADS.value),
        overwrite=_OVERWRITE.value,
        before_naming=unless_stopped,
      )
  except export.ParityError as error:
    return cli.complain(error, cli.FAILED)
  print(f'{out} ({format_name}): {export.describe(measured)}.')  # noqa: T201
  return cli.OK


if __name__ == '__main__':
  app.run(main, flags_parser=cli.parse_with_config)
