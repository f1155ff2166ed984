"""A picture to judge masks by: images, detectors, masks and masked views."""

import numpy as np

from semppl_jax.data.dataset import Dataset
from semppl_jax.saliency import detectors, mask_fn, shards
from semppl_jax.saliency.mask_fn import Maker

FILE = 'contact_sheet.png'
_INCH = 1.6


def write(file: str, data: Dataset, count: int, maker: Maker) -> None:
  """Draws some images, a row each, with what is made of them.

  Args:
    file: the PNG to write.
    data: the images.
    count: how many, evenly spread; unreadable ones are left out.
    maker: what makes the masks.
  """
  from matplotlib.figure import Figure

  piece = shards.piece(data, shards.spread(data.size, count))
  saliency = mask_fn.saliency(maker)
  panels = [
    _panels(image, saliency(image), maker)
    for image in shards.images(piece)
    if image is not None
  ]
  if not panels:
    raise ValueError(f'None of the {count} images to show can be read.')
  shape = len(panels), len(panels[0])
  figure = Figure(
    figsize=(_INCH * shape[1], _INCH * shape[0]), layout='constrained'
  )
  grid = figure.subplots(*shape, squeeze=False)
  for place, (axes, row) in enumerate(zip(grid, panels, strict=True)):
    for axis, (title, picture) in zip(axes, row.items(), strict=True):
      axis.imshow(picture, cmap='gray', vmin=0, vmax=1)
      axis.set_axis_off()
      if not place:
        axis.set_title(title, fontsize=8)
  figure.savefig(file, dpi=120)


def _panels(
  image: np.ndarray, found: np.ndarray, maker: Maker
) -> dict[str, np.ndarray]:
  """Pictures of one row by their titles; `found` is the maker's map."""
  mask = found > maker['threshold']
  grey = np.where(mask[..., None], image, np.uint8(128))
  return {
    'image': image,
    **detectors.detect(image, (*detectors.DETECTORS, 'mean')),
    **({'network': found} if 'network' in maker else {}),
    'mask': mask,
    'masked view': grey,
  }
