"""What several GPUs would reach, from what one GPU and one core do: a model on paper, of three things that can bind.

A step is as long as the longer of two chains that run side by side:

- the network's: its own time on one GPU, and what the all-reduce of the gradients takes beyond the part of the
  backward pass that hides it;
- the loader's: a node's clips over what the node's cores decode.

An epoch adds what does not shrink with more GPUs: writing the checkpoint, and the last step that is not full.
"""

import math
from dataclasses import dataclass
from typing import Literal

PARAMETERS = 134_674_341
"""Of VGG16 with 101 classes: 14.7 M in the convolutions, 119.9 M in the three last layers."""

TRAIN_CLIPS, TEST_CLIPS = 9_537, 3_783
"""Of UCF101's split 1."""

Bound = Literal["compute", "all-reduce", "loader"]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One GPU, the machine around it and the network between machines; times in seconds, rates a second."""

    step_seconds: float
    """A step of one GPU on clips that are ready, without other GPUs."""
    batch: int
    """Clips a GPU and step."""
    core_clips: float
    """Clips a second that one core reads, checks and decodes for a GPU."""
    node_cores: int
    gpus_per_node: int = 8
    gpu_link: float
    """Bytes a second that a GPU sends to its neighbour in the node while all do."""
    node_link: float
    """Bytes a second that a node sends to the next, over all its network cards."""
    gradient_bytes: float = 4.0 * PARAMETERS
    """Gradients travel in float32, as the weights are kept."""
    hidden_share: float = 0.6
    """Share of a step under which the all-reduce can run. The backward pass is two thirds of a step, and the last
    layers, 89 % of the gradients, are done within the first percent of it; the convolutions' are small and late."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What `gpus` GPUs reach; `exposed` is the all-reduce's time that the backward pass does not hide."""

    gpus: int
    step_seconds: float
    exposed: float
    loader_seconds: float
    clips_per_second: float
    efficiency: float
    """Of `gpus` times one GPU on ready clips."""
    bound: Bound


def allreduce_seconds(setup: Setup, gpus: int) -> float:
    """Return how long a ring all-reduce of the gradients takes: each byte passes every link twice, less one share.

    Source: Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms for clusters of workstations (2009).
    """
    link = setup.gpu_link if gpus <= setup.gpus_per_node else min(setup.gpu_link, setup.node_link)
    return 2 * (gpus - 1) / gpus * setup.gradient_bytes / link


def reach(setup: Setup, gpus: int) -> Reach:
    """Return what so many GPUs reach, and what binds them."""
    exposed = max(0.0, allreduce_seconds(setup, gpus) - setup.hidden_share * setup.step_seconds)
    in_node = min(gpus, setup.gpus_per_node)
    loader = in_node * setup.batch / (setup.node_cores * setup.core_clips)
    network = setup.step_seconds + exposed
    step = max(network, loader)
    return Reach(
        gpus=gpus,
        step_seconds=step,
        exposed=exposed,
        loader_seconds=loader,
        clips_per_second=gpus * setup.batch / step,
        efficiency=setup.step_seconds / step,
        bound="loader" if loader > network else "all-reduce" if exposed > 0 else "compute",
    )


def epoch_seconds(setup: Setup, gpus: int, *, fixed: float, train: int = TRAIN_CLIPS, test: int = TEST_CLIPS) -> float:
    """Return how long an epoch with its validation takes; `fixed` seconds of it shrink with no number of GPUs.

    A step of validation is a forward pass, a third of a training step, or as long as its data take.
    """
    found = reach(setup, gpus)
    clips = gpus * setup.batch
    forward = max(setup.step_seconds / 3, found.loader_seconds)
    return math.ceil(train / clips) * found.step_seconds + math.ceil(test / clips) * forward + fixed


def cores_needed(setup: Setup) -> int:
    """Return with how many cores a full node's loader keeps up with its GPUs."""
    return math.ceil(setup.gpus_per_node * setup.batch / setup.step_seconds / setup.core_clips)
