"""What becomes of frames: at which size, on which device, of which type, and what decodes them."""

import os
from dataclasses import dataclass, field
from typing import Literal

import torch

from tsn.tsn_shared import environment
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.normalisation import Normalisation

Decoder = Literal["cpu", "engine", "mixed"]
"""The CPU (libjpeg-turbo), the card's own JPEG engine, or nvJPEG's kernels; DALI's `mixed` is the latter two."""


def cpu_share() -> int:
    """Return how many threads a rank may use for decoding: the cores that it is allowed, shared among local ranks."""
    cores = len(os.sched_getaffinity(0))
    return max(1, cores // environment.local_world_size())


def torch_device(name: str) -> torch.device:
    """Return the device called cpu, gpu (the first), or auto: a GPU where there is one. SettingsError without any."""
    if name == "gpu" and not torch.cuda.is_available():
        raise SettingsError("--device gpu: 0 GPUs are visible; use --device cpu")
    return torch.device("cuda", 0) if name != "cpu" and torch.cuda.is_available() else torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """How frames become the network's input, `input_size` pixels high and wide and normalised, on a device.

    On a GPU `decoder` may be one that decodes there, and `half` gives float16: half the memory, and autocast takes it
    as it is. On the CPU torch resizes and normalises what DALI has decoded, which is faster, unless DALI is to do it
    all (`all_dali`), as on a GPU. `threads` decode, and on the CPU normalise.
    """

    input_size: int
    normalisation: Normalisation = Normalisation()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    decoder: Decoder = "cpu"
    half: bool = False
    all_dali: bool = False
    threads: int = field(default_factory=cpu_share)

    def __post_init__(self) -> None:
        if self.half and self.by_torch:
            raise ValueError("half clips are what DALI makes; on the CPU torch makes float32")

    @property
    def device_id(self) -> int | None:
        """The number of the GPU, None for the CPU."""
        return (self.device.index or 0) if self.device.type == "cuda" else None

    @property
    def by_torch(self) -> bool:
        """Whether torch makes the network's input of decoded pictures."""
        return self.device_id is None and not self.all_dali
