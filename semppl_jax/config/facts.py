"""What is known of the devices and the data when a config is checked."""

from typing import NamedTuple


class Facts(NamedTuple):
  """Counts that fields of a config must fit; None where one is not known.

  Attributes:
    device_count: devices of all processes.
    process_count: processes of the run.
    examples: train images.
    classes: C.
    labelled: train images that keep their label.
  """

  device_count: int
  process_count: int
  examples: int | None
  classes: int | None
  labelled: int | None
