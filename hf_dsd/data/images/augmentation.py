"""Random crops and mirrored pictures, as the baselines of the paper's image classifiers were trained."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

AUGMENTATIONS = ("none", "crop", "resized_crop")
_AREA, _TRIES = (0.08, 1.0), 10
_ASPECT = (math.log(3 / 4), math.log(4 / 3))


@dataclass(frozen=True)
class RandomCrop:
    """Cuts the network's input out of a picture, and mirrors every second one.

    Attributes:
        image_size: Height and width of the cut, in pixels.
        resize_size: Length of the picture's shorter side before the cut; unused by `is_resized`.
        is_resized: Instead cut out 8 % to 100 % of the picture's area, 3:4 to 4:3 wide, and scale that.

    References:
        Krizhevsky et al., *ImageNet Classification with Deep Convolutional Neural Networks*, NIPS 2012, section 4.1;
        resized crops: Szegedy et al., *Going Deeper with Convolutions*, CVPR 2015, section 6.
    """

    image_size: int
    resize_size: int
    is_resized: bool = False

    def __call__(self, picture: Image.Image, random: np.random.Generator) -> Image.Image:
        """Returns the cut, `image_size` by `image_size`."""
        box = self._resized_box(picture, random) if self.is_resized else self._box(picture, random)
        cut = picture.resize((self.image_size, self.image_size), Image.Resampling.BILINEAR, box)
        return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else cut

    def _box(self, picture: Image.Image, random: np.random.Generator) -> tuple[float, float, float, float]:
        side = min(picture.size) * self.image_size / self.resize_size  # in pixels of the picture as it is
        return self._anywhere(picture, side, side, random)

    def _resized_box(self, picture: Image.Image, random: np.random.Generator) -> tuple[float, float, float, float]:
        for _ in range(_TRIES):
            area = picture.width * picture.height * random.uniform(*_AREA)
            ratio = math.exp(random.uniform(*_ASPECT))
            width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if width <= picture.width and height <= picture.height:
                return self._anywhere(picture, width, height, random)
        side = min(picture.size)
        return self._anywhere(picture, side, side, random)

    def _anywhere(
        self, picture: Image.Image, width: float, height: float, random: np.random.Generator
    ) -> tuple[float, float, float, float]:
        left, top = random.uniform(0, picture.width - width), random.uniform(0, picture.height - height)
        return left, top, left + width, top + height
