"""What several GPUs would reach, from what one GPU and one core do: a model on paper, of three things that can bind.

A step is as long as the longer of two chains that run side by side:

- the network's: its own time on one GPU, and what the all-reduce of the gradients takes beyond the part of the
  backward pass that hides it;
- the loader's: a node's clips over what the node's cores decode.

An epoch adds what does not shrink with more GPUs: writing the checkpoint, and the last step that is not full.

    python -m benchmarks.scaling --clips-per-second 1524 --core-ms 1.69 --fixed 1.75

prints the model's table for one GPU's rate on ready clips; benchmarks.gpu_visit measures what goes in.
"""

import argparse
import math
from dataclasses import dataclass
from typing import Literal

from benchmarks.common import table

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
class Node:
    """A machine of eight GPUs, as its maker describes it."""

    cores: int
    gpu_link: float
    node_link: float


DGX = Node(cores=112, gpu_link=450e9, node_link=8 * 50e9)
"""NVIDIA DGX H100 (its user guide): 2 x 56 cores, NVLink 900 GB/s a GPU in both directions together, 8 x 400 Gb/s."""


def setup_of(node: Node, *, clips_per_second: float, batch: int, core_ms: float) -> Setup:
    """Return the setup of GPUs that take so many clips a second each, of which each costs a core so much time."""
    return Setup(
        step_seconds=batch / clips_per_second,
        batch=batch,
        core_clips=1000 / core_ms,
        node_cores=node.cores,
        gpu_link=node.gpu_link,
        node_link=node.node_link,
    )


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


def link_needed(setup: Setup, gpus: int) -> float:
    """Return the bytes a second that the slowest link must carry for the backward pass to hide the all-reduce."""
    return 2 * (gpus - 1) / gpus * setup.gradient_bytes / (setup.hidden_share * setup.step_seconds)


def cores_needed(setup: Setup) -> int:
    """Return with how many cores a full node's loader keeps up with its GPUs."""
    return math.ceil(setup.gpus_per_node * setup.batch / setup.step_seconds / setup.core_clips)


def main() -> None:
    """Print what one to 64 GPUs reach, for rates that were measured or that one wants to know the consequence of."""
    parser = argparse.ArgumentParser(description="What several GPUs would reach, on paper.")
    parser.add_argument("--clips-per-second", type=float, nargs="+", required=True, help="of one GPU on ready clips")
    parser.add_argument("--core-ms", type=float, required=True, help="CPU time that the loader takes for a clip")
    parser.add_argument("--batch", type=int, default=25, help="clips a GPU and step (%(default)s)")
    parser.add_argument("--fixed", type=float, default=0.0, help="seconds of an epoch that do not shrink (%(default)s)")
    options = parser.parse_args()
    rows = []
    for rate in options.clips_per_second:
        setup = setup_of(DGX, clips_per_second=rate, batch=options.batch, core_ms=options.core_ms)
        for gpus in (1, 8, 64):
            found = reach(setup, gpus)
            epoch = epoch_seconds(setup, gpus, fixed=options.fixed)
            rows.append(
                (
                    f"{rate:,.0f}",
                    gpus,
                    f"{1000 * setup.step_seconds:.1f}",
                    f"{1000 * allreduce_seconds(setup, gpus):.1f}",
                    f"{1000 * found.loader_seconds:.1f}",
                    f"{found.clips_per_second:,.0f}",
                    f"{found.efficiency:.0%}",
                    found.bound,
                    f"{link_needed(setup, gpus) / 1e9:.0f}",
                    cores_needed(setup),
                    f"{epoch:.1f}",
                )
            )
    heads = [
        *("one GPU, clips/s", "GPUs", "step, ms", "all-reduce, ms", "loader, ms", "clips/s", "efficient", "bound"),
        *("link needed, GB/s", "cores needed", "epoch, s"),
    ]
    print(table(heads, rows))


if __name__ == "__main__":
    main()
