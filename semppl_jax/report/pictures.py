"""Images as small WebP files inside of the page."""

import base64
import io

import numpy as np

# Pixels of the longer side; smaller images are enlarged in the page.
SIDE = 112
_QUALITY = 80


def encode(image: np.ndarray, side: int = SIDE) -> str:
  """Returns an image uint8 [H, W, 3] or [H, W] as a data URI.

  Args:
    image: the image.
    side: the longer side is scaled down to it.
  """
  from PIL import Image

  picture = Image.fromarray(image)
  if max(picture.size) > side:
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
  stream = io.BytesIO()
  picture.save(stream, 'WEBP', quality=_QUALITY, method=4)
  content = base64.b64encode(stream.getvalue()).decode()
  return f'data:image/webp;base64,{content}'
