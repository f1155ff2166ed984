"""Config files and their overrides, with one sentence for each mistake.

`ml_collections.config_flags` reads the file and the overrides. What is added:
a path relative to the repository works from any directory, and a misspelt
field, a value of the wrong type or a missing file ends the program with one
sentence and not with a traceback.
"""

from collections.abc import Callable, Sequence
import difflib
import pathlib
import re
import sys
from typing import Any, NoReturn

from absl import app, flags
from ml_collections import config_flags, ConfigDict

BAD_INPUT = 2  # Exit status.

_ROOT = pathlib.Path(__file__).resolve().parents[2]


class ConfigError(ValueError):
  """A config file or an override cannot be used; the message says why."""


def define_flag(
  name: str = 'config', flag_values: flags.FlagValues = flags.FLAGS
) -> flags.FlagHolder[ConfigDict]:
  """Defines `--config=FILE` and `--config.field=value`; start with `run`.

  Args:
    name: name of the flag.
    flag_values: where it is defined.

  Returns:
    A holder whose `value` is the locked config.
  """
  return config_flags.DEFINE_config_file(
    name,
    None,
    'Config file, such as configs/quickstart.py.',
    flag_values=flag_values,
  )


def run(main: Callable[[list[str]], Any], name: str = 'config') -> NoReturn:
  """Parses the flags and calls `main`, whose result is the exit status.

  A mistake in a flag is printed as one sentence, with exit status 2.
  """

  def parse(argv: Sequence[str]) -> list[str]:
    try:
      return parse_flags(argv, name)
    except (ConfigError, flags.Error) as error:
      print(f'semppl_jax: {_one_sentence(error)}', file=sys.stderr)  # noqa: T201
      sys.exit(BAD_INPUT)

  app.run(main, flags_parser=parse)
  raise AssertionError('app.run does not return.')


def parse_flags(
  argv: Sequence[str],
  name: str = 'config',
  flag_values: flags.FlagValues = flags.FLAGS,
) -> list[str]:
  """Parses the flags of a program and returns its other arguments.

  Args:
    argv: the program's name and its arguments.
    name: name of the config flag.
    flag_values: the defined flags.

  Raises:
    ConfigError: a field that is not there, a value of the wrong type, or a
      file that is not there.
    flags.Error: any other flag.
  """
  argv = _resolved(argv, name)
  path = _value_of(argv, name)
  if path is not None:
    _check_names(_get_config(path), argv, name)
  rest = flag_values(argv)
  if path is None:
    raise ConfigError(
      f'--{name}=FILE is missing, as in --{name}=configs/quickstart.py.'
    )
  if rest[1:]:
    raise ConfigError(f'{rest[1]!r} is no flag; flags begin with --.')
  return rest


def base() -> ConfigDict:
  """Returns every field as this version has it by default, locked."""
  # Not that of a working directory, which may have a file of the same name.
  return load(_ROOT / 'configs' / 'base.py')


def load(path: str | pathlib.Path, overrides: Sequence[str] = ()) -> ConfigDict:
  """Reads a config file and changes some of its fields.

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
  argv = _resolved(argv, 'config')
  holder = config_flags.DEFINE_config_file(
    'config', flag_values=values, sys_argv=argv
  )
  try:
    parse_flags(argv, flag_values=values)
  except flags.Error as error:
    raise ConfigError(_one_sentence(error)) from error
  return holder.value


def copy(config: ConfigDict) -> ConfigDict:
  """Returns an unlocked config that shares nothing with its original.

  `ConfigDict(config)` would share the groups.
  """
  return config.copy_and_resolve_references().unlock()


def fields(config: ConfigDict) -> list[str]:
  """Dotted names of all single values of a config."""
  names = []
  for name, value in config.items():
    if isinstance(value, ConfigDict):
      names += [f'{name}.{inner}' for inner in fields(value)]
    else:
      names.append(name)
  return names


def nearest(name: str, names: Sequence[str]) -> str | None:
  """Returns the entry of `names` that is spelt most like `name`, if any is."""
  found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
  return found[0] if found else None


def _resolved(argv: Sequence[str], name: str) -> list[str]:
  """Brings `--config PATH` and `--config=PATH` to an absolute path."""
  joined = re.sub(rf'(^|\0)--?{name}\0', rf'\1--{name}=', '\0'.join(argv))
  return [
    f'--{name}={_find(match[1])}'
    if (match := re.fullmatch(rf'--?{name}=(.+)', argument))
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
    f'--config={path} is no file; {_suggestion(path, sorted(known))}'
  )


def _value_of(argv: Sequence[str], name: str) -> str | None:
  values = [x.partition('=')[2] for x in argv if x.startswith(f'--{name}=')]
  return values[-1] if values else None


def _get_config(path: str) -> ConfigDict:
  # The files of configs/ import each other by that name.
  if str(_ROOT) not in sys.path:
    sys.path.insert(0, str(_ROOT))
  values = flags.FlagValues()
  holder = config_flags.DEFINE_config_file(
    'config', flag_values=values, sys_argv=['']
  )
  values(['', f'--config={path}'])
  return holder.value


def _check_names(config: ConfigDict, argv: Sequence[str], name: str) -> None:
  for argument in argv:
    match = re.match(rf'--?(?:no)?{name}\.([^=]+)', argument)
    if match is None:
      continue
    at: Any = config
    path = match[1].split('.')
    for depth, field in enumerate(path):
      if not isinstance(at, ConfigDict) or field not in at:
        _unknown_field(at, path, depth, name)
      at = at[field]
    if isinstance(at, ConfigDict):
      raise ConfigError(
        f'--{name}.{match[1]} is a group of fields; set one of its own:'
        f' {", ".join(sorted(at))}.'
      )


def _unknown_field(
  group: Any, path: list[str], depth: int, name: str
) -> NoReturn:
  where = '.'.join([name, *path[:depth]])
  fields = sorted(group) if isinstance(group, ConfigDict) else []
  raise ConfigError(
    f'--{name}.{".".join(path)}: {where} has no field {path[depth]!r};'
    f' {_suggestion(path[depth], fields)}'
  )


def _suggestion(name: str, names: Sequence[str]) -> str:
  near = nearest(name, names)
  if near:
    return f'did you mean {near!r}?'
  return f'there are {", ".join(names)}.' if names else 'it is a single value.'


def _one_sentence(error: Exception) -> str:
  return ' '.join(str(error).split())
