"""How pixels are normalised for a network: one value, which settings state and loader, answers and export all take."""

from dataclasses import dataclass

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's RGB in [0, 1], as torchvision's networks take it."""


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """RGB in [0, 1] (a pixel over 255) less `mean`, over `std`, each by channel; by default ImageNet's."""

    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
