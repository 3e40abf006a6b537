"""What several GPUs would need so that nothing holds them up, from what one GPU and one core were measured to do.

How far the all-reduce slows a step down where the link is short has not been measured, so nothing is said of it.
"""

import math

PARAMETERS = 134_674_341
"""Of VGG16 with 101 classes: 14.7 M in the convolutions, 119.9 M in the three last layers."""

HIDDEN = 0.6
"""Share of a step under which the all-reduce can run. The backward pass is two thirds of a step, and the last layers,
89 % of the gradients, are done within the first percent of it; the convolutions' are small and late."""


def link_needed(clips_per_second: float, *, gpus: int, batch: int) -> float:
    """Return the bytes a second of the slowest link with which the backward pass hides the all-reduce.

    In a ring each byte of the float32 gradients passes every link twice, but for one rank's share: Patarasuk and Yuan,
    Bandwidth optimal all-reduce algorithms for clusters of workstations (2009).
    """
    return 2 * (gpus - 1) / gpus * 4 * PARAMETERS / (HIDDEN * batch / clips_per_second)


def cores_needed(clips_per_second: float, *, gpus: int, core_ms: float) -> int:
    """Return how many cores decode as fast as so many GPUs train, each clip costing a core so many milliseconds."""
    return math.ceil(gpus * clips_per_second * core_ms / 1000)
