"""Contact sheet: images, saliency maps, masks and masked views."""

import numpy as np

from semppl_jax.data.dataset import Dataset
from semppl_jax.data.masks import Maker
from semppl_jax.saliency import detectors, mask_fn, shards

FILE = 'contact_sheet.png'
_INCH = 1.6


def write(file: str, data: Dataset, count: int, maker: Maker) -> None:
  """Draws some images with their maps and masks, a row each.

  Args:
    file: the PNG to write.
    data: the images.
    count: how many, evenly spaced; unreadable ones are left out.
    maker: maker of the masks.
  """
  from matplotlib.figure import Figure

  shard = shards.make_shard(data, shards.evenly_spaced(data.size, count))
  saliency_of = mask_fn.make_saliency_fn(maker)
  panels = [
    _panels(image, saliency_of(image), maker)
    for image in shards.read_images(shard)
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
  image: np.ndarray, saliency: np.ndarray, maker: Maker
) -> dict[str, np.ndarray]:
  """Returns the pictures of one row by their titles."""
  mask = saliency > maker['threshold']
  return {
    'image': image,
    **detectors.detect(image, (*detectors.DETECTORS, 'mean')),
    **({'network': saliency} if 'network' in maker else {}),
    'mask': mask,
    'masked view': np.where(mask[..., None], image, np.uint8(128)),
  }
