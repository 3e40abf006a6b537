"""One process among those that train together: its rank, its device, and what it says to the others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from tsn_shared.errors import SettingsError

COLLECTIVE_TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others before it gives up."""

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """One process: `rank` of `world_size`, `local_rank` on this machine, and its device."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files and speaks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the element-wise sum over all ranks."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def gather(self, values: Tensor) -> Tensor:
        """Return the ranks' tensors, all of one shape, one after the other along the first axis."""
        if self.world_size == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.world_size)]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    def broadcast(self, values: Tensor) -> None:
        """Overwrite the tensor with the first rank's."""
        if self.world_size > 1:
            dist.broadcast(values, src=0)

    def wait(self) -> None:
        """Wait until every rank is here."""
        if self.world_size > 1:
            dist.barrier()


def environment_ranks() -> dict[str, int] | None:
    """Return what torchrun says of this process, None without it; a partial environment is an error."""
    there = [name for name in _TORCHRUN if name in os.environ]
    if not there:
        return None
    if len(there) < len(_TORCHRUN):
        missing = ", ".join(sorted(set(_TORCHRUN) - set(there)))
        raise SettingsError(
            f"{', '.join(there)} set in the environment, but not {missing}: use torchrun, or unset them"
        )
    return {name.lower(): int(os.environ[name]) for name in _TORCHRUN[:4]}


@contextmanager
def joined(*, on_gpu: bool, threads: int | None = None) -> Iterator[Ranks]:
    """Join the process group that the environment describes, if any, and leave it at the end."""
    found = environment_ranks() or {"rank": 0, "world_size": 1, "local_rank": 0, "local_world_size": 1}
    device = torch.device("cuda", found["local_rank"]) if on_gpu else torch.device("cpu")
    ranks = Ranks(rank=found["rank"], local_rank=found["local_rank"], world_size=found["world_size"], device=device)
    if on_gpu:
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // found["local_world_size"]))
    if ranks.world_size == 1:
        yield ranks
        return
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=COLLECTIVE_TIMEOUT)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()
