"""Config files and their overrides, with one sentence for each mistake.

`ml_collections.config_flags` reads the file and the overrides. Added here: a
path relative to the repository works from any directory, and an unknown field,
a value of the wrong type or a missing file is a `ConfigError` of one sentence.
"""

from collections.abc import Iterator, Sequence
import contextlib
import difflib
import importlib
import importlib.util
import json
import pathlib
import re
import sys
import types
from typing import Any

from absl import flags
from ml_collections import config_flags, ConfigDict

from semppl_jax.runtime.errors import InputError

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
# `configs/` is inside of the package in a wheel, since a package of this name
# would stand beside those of other people; in a checkout it is beside it.
_ROOT = next(
  (x for x in (_PACKAGE, _PACKAGE.parent) if (x / 'configs').is_dir()),
  _PACKAGE.parent,
)


class ConfigError(InputError):
  """A flag, a config file or an override cannot be used; says why."""


def define_flag(
  flag_values: flags.FlagValues = flags.FLAGS,
  argv: Sequence[str] | None = None,
) -> flags.FlagHolder[ConfigDict]:
  """Defines `--config=FILE` and `--config.field=value`; see `parse_flags`.

  Args:
    flag_values: set of flags that it is added to.
    argv: arguments with the overrides (default: those of the process).

  Returns:
    A holder whose `value` is the locked config.
  """
  text = 'Config file, such as configs/quickstart.py.'
  return config_flags.DEFINE_config_file(
    'config', None, text, flag_values=flag_values, sys_argv=argv
  )


def parse_flags(
  argv: Sequence[str],
  flag_values: flags.FlagValues = flags.FLAGS,
  *,
  required: bool = True,
) -> list[str]:
  """Parses the flags of a command with `--config`.

  Args:
    argv: name of the program and its arguments.
    flag_values: the defined flags.
    required: `--config` may not be missing.

  Returns:
    The name of the program.

  Raises:
    ConfigError: an unknown field, a value of the wrong type, a missing file, or
      an argument that is not a flag.
    flags.Error: any other flag.
  """
  argv = _with_absolute_path(argv)
  given = [x.partition('=')[2] for x in argv if x.startswith('--config=')]
  with _configs_importable():
    if given:
      _check_names(_read(given[-1]), argv)
    rest = flag_values(argv)
  required = required or any(re.match(r'--?(no)?config\.', x) for x in argv)
  if required and not given:
    raise ConfigError(
      '--config=FILE is missing, as in --config=configs/quickstart.py.'
    )
  if rest[1:]:
    raise ConfigError(f'unknown flag {rest[1]!r}: flags begin with --.')
  return rest


def parse_optional_config(argv: Sequence[str]) -> list[str]:
  """Parses the flags of a command whose `--config` may be missing."""
  return parse_flags(argv, required=False)


def base() -> ConfigDict:
  """Returns the default config with every field of this version, locked."""
  # Not that of a working directory, which may have a file of the same name.
  return load(_ROOT / 'configs' / 'base.py')


def load(path: str | pathlib.Path, overrides: Sequence[str] = ()) -> ConfigDict:
  """Reads a config file and overrides some of its fields.

  Args:
    path: the file; relative to the working directory or to the repository.
    overrides: as on the command line: `'batch_size=256'`, `'semppl.k=2'`.

  Returns:
    The locked config.

  Raises:
    ConfigError: as for `parse_flags`.
  """
  values = flags.FlagValues()
  argv = ['', f'--config={path}', *(f'--config.{each}' for each in overrides)]
  holder = define_flag(values, argv)
  try:
    parse_flags(argv, values)
  except flags.Error as error:
    raise ConfigError(' '.join(str(error).split())) from error
  return holder.value


def copy(config: ConfigDict) -> ConfigDict:
  """Returns an unlocked config that shares nothing with its original.

  `ConfigDict(config)` would share the groups.
  """
  return config.copy_and_resolve_references().unlock()


def to_flat_dict(config: ConfigDict) -> dict[str, Any]:
  """Returns the values of a config by dotted name, as JSON reads them back."""

  def walk(prefix: str, node: ConfigDict):
    for name, value in node.items():
      if isinstance(value, ConfigDict):
        yield from walk(f'{prefix}{name}.', value)
      else:
        yield f'{prefix}{name}', value

  return json.loads(json.dumps(dict(walk('', config))))


def nearest(name: str, names: Sequence[str]) -> str | None:
  """Returns the entry of `names` that is spelled most like `name`, or None."""
  close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
  return close[0] if close else None


def _with_absolute_path(argv: Sequence[str]) -> list[str]:
  """Turns `--config PATH` and `--config=PATH` into an absolute path."""
  joined = re.sub(r'(^|\0)--?config\0', r'\1--config=', '\0'.join(argv))
  return [
    f'--config={_find(match[1])}'
    if (match := re.fullmatch(r'--?config=(.+)', argument))
    else argument
    for argument in joined.split('\0')
  ]


def _find(path: str) -> pathlib.Path:
  for folder in (pathlib.Path.cwd(), _ROOT):
    if (folder / path).is_file():
      return folder / path
  known = [
    str(file.relative_to(_ROOT)) for file in _ROOT.glob('configs/**/[!_]*.py')
  ]
  raise ConfigError(
    f'--config={path} not found; {_suggestion(path, sorted(known))}'
  )


@contextlib.contextmanager
def _configs_importable() -> Iterator[None]:
  """Lets config files import each other as `from configs import base`.

  A copy of `configs/` in the working directory has precedence. Any other
  package of that name has not, and is there again afterwards.
  """
  if _PACKAGE.parent == _ROOT and str(_ROOT) not in sys.path:
    sys.path.insert(0, str(_ROOT))
  found = importlib.util.find_spec('configs')
  places = (found and found.submodule_search_locations) or ()
  ours = {str(folder / 'configs') for folder in (pathlib.Path.cwd(), _ROOT)}
  if any(x in ours and (pathlib.Path(x) / 'base.py').is_file() for x in places):
    yield
    return
  theirs = _pop_configs()
  sys.modules['configs'] = importlib.import_module(f'{_PACKAGE.name}.configs')
  try:
    yield
  finally:
    _pop_configs()
    sys.modules.update(theirs)


def _pop_configs() -> dict[str, types.ModuleType]:
  names = [x for x in sys.modules if x.partition('.')[0] == 'configs']
  return {name: sys.modules.pop(name) for name in names}


def _read(path: str) -> ConfigDict:
  values = flags.FlagValues()
  holder = define_flag(values, [''])
  values(['', f'--config={path}'])
  return holder.value


def _check_names(config: ConfigDict, argv: Sequence[str]) -> None:
  for argument in argv:
    match = re.match(r'--?(?:no)?config\.([^=]+)', argument)
    if match is None:
      continue
    node, path = config, match[1].split('.')
    for depth, field in enumerate(path):
      names = sorted(node) if isinstance(node, ConfigDict) else []
      if field not in names:
        group = '.'.join(['config', *path[:depth]])
        raise ConfigError(
          f'--config.{match[1]}: {group} has no field {field!r};'
          f' {_suggestion(field, names)}'
        )
      node = node[field]
    if isinstance(node, ConfigDict):
      raise ConfigError(
        f'--config.{match[1]} is a group of fields; set one of its own:'
        f' {", ".join(sorted(node))}.'
      )


def _suggestion(name: str, names: Sequence[str]) -> str:
  near = nearest(name, names)
  if near:
    return f'did you mean {near!r}?'
  return f'there are {", ".join(names)}.' if names else 'it is a single value.'
