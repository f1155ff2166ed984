"""Exports a trained network to other formats, and verifies the result.

  python -m semppl_jax.export --checkpoint=RUN --format=onnx --out=encoder.onnx

Formats: safetensors (torchvision and timm), deepmind, saved_model, stablehlo,
onnx and features. `<out>.json` beside the file has normalization, class names
and input size.
"""

import pathlib

from absl import flags

from semppl_jax.config import loading
from semppl_jax.runtime import cli, errors

_CONFIG = loading.define_flag()
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', None, 'A run, a checkpoint in it, or imported weights.'
)
_FORMAT = flags.DEFINE_string('format', None, 'Format of the export.')
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
  """Runs the command and returns the exit status."""
  return cli.run_cli(_export, 'No file was written.')


def _export() -> int:
  from semppl_jax.exchange import export, load
  from semppl_jax.runtime import signals

  values = (_CHECKPOINT.value, _FORMAT.value, _OUT.value)
  checkpoint, format_name, place = (value or '' for value in values)
  if not all(values):
    raise loading.ConfigError(
      '--checkpoint, --format and --out are needed, as in'
      ' --checkpoint=RUN --format=onnx --out=encoder.onnx.'
    )
  out = pathlib.Path(place).expanduser().absolute()
  with signals.raise_at_signal() as unless_stopped:
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
  print(f'{out} ({format_name}): {export.describe(measured)}.')  # noqa: T201
  return errors.OK


if __name__ == '__main__':
  cli.start(main, loading.parse_optional_config)
