"""Files of one JSON object a line, each of a step; cut where a run resumes."""

import json
from typing import Any

from etils import epath

from semppl_jax.runtime import files as files_lib


def read(path: epath.Path) -> tuple[list[dict[str, Any]], int]:
  """Returns the lines, and how many others are damaged, as by a kill.

  A file that is not there has none of either.
  """
  if not path.exists():
    return [], 0
  lines, damaged = [], 0
  for text in path.read_bytes().decode(errors='replace').splitlines():
    try:
      line = json.loads(text)
      line['step'] = int(line['step'])
      lines.append(line)
    except (ValueError, KeyError, TypeError, OverflowError):
      damaged += 1
  return lines, damaged


def keep_until(path: epath.Path, step: int) -> list[dict[str, Any]]:
  """Cuts lines of later steps, and damaged ones, and returns the rest."""
  if not path.exists():
    return []
  kept = [line for line in read(path)[0] if line['step'] <= step]
  text = ''.join(json.dumps(line) + '\n' for line in kept)
  files_lib.write_whole(path, text)
  return kept
