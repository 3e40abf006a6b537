"""One process among those that train together: its rank, its device, and what it says to the others."""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from tsn.tsn_shared import environment
from tsn.tsn_shared.errors import TsnError, brief

T = TypeVar("T")

COLLECTIVE_TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others before it gives up."""


class LostRankError(TsnError):
    """Another rank never came, has died or hangs: nothing that the user could change in this one."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """One process: `rank` of `world_size`, `local_world_size` of them on this machine; and its device.

    `grouped` ranks speak through a process group: all that a launcher started, be it one alone.
    """

    rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    grouped: bool = False
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files and speaks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the element-wise sum over all ranks."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def max(self, values: Tensor) -> Tensor:
        """Return the element-wise maximum over all ranks."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def _reduced(self, values: Tensor, how: dist.ReduceOp.RedOpType) -> Tensor:
        if not self.grouped:
            return values
        values = values.clone()  # the reduction works in place, and what the caller holds is the caller's
        dist.all_reduce(values, how)
        return values

    def gather(self, values: Tensor) -> Tensor:
        """Return the ranks' tensors, all of one shape, one after the other along the first axis."""
        if not self.grouped:
            return values
        parts = [torch.empty_like(values) for _ in range(self.world_size)]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    def gather_words(self, words: str) -> list[str]:
        """Return what each rank says, in their order."""
        if not self.grouped:
            return [words]
        said = [""] * self.world_size
        dist.all_gather_object(said, words)
        return said

    def broadcast(self, values: Tensor) -> None:
        """Overwrite the tensor with the first rank's."""
        if self.grouped:
            dist.broadcast(values, src=0)

    def agree(self, decide: Callable[[], T]) -> T:
        """Return what the first rank decides, on every rank; its error ends them all, and only the first reports it."""
        if not self.grouped:
            return decide()
        answer: list[T | TsnError | None] = [None]
        if self.is_first:
            try:
                answer[0] = decide()
            except TsnError as error:
                answer[0] = error
        dist.broadcast_object_list(answer, src=0)
        if isinstance(answer[0], TsnError):
            raise answer[0] if self.is_first else SystemExit(answer[0].exit_code)
        return answer[0]  # type: ignore[return-value]


def on_one_gpu() -> bool:
    """Return whether all ranks share the first GPU and speak through gloo, since NCCL takes no two on one.

    A switch for tests of many ranks where there is one GPU.
    """
    return os.environ.get("TSN_TEST_ONE_GPU") == "1"


@contextmanager
def joined(*, on_gpu: bool) -> Iterator[Ranks]:
    """Join the process group that the environment describes, if any, and leave it at the end.

    LostRankError where the others do not come within COLLECTIVE_TIMEOUT, or one is lost later on.
    """
    launched = environment.launched()
    found = launched or environment.Launched()
    if on_gpu:  # a scheduler may let each rank see its own GPU alone, as number 0
        device = torch.device("cuda", found.local_rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // found.local_world_size))
    ranks = Ranks(
        rank=found.rank,
        world_size=found.world_size,
        local_world_size=found.local_world_size,
        grouped=launched is not None,
        device=device,
    )
    if not ranks.grouped:
        yield ranks
        return
    where, seconds = f"rank {ranks.rank} of {ranks.world_size}", COLLECTIVE_TIMEOUT.total_seconds()
    try:
        with _quiet_if_it_fails():
            _meet("nccl" if on_gpu and not on_one_gpu() else "gloo")
    except (dist.DistError, RuntimeError, ValueError) as error:
        at = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise LostRankError(
            f"{where}: the others did not come to {at} within {seconds:.0f} s ({brief(error).rstrip('.')}): "
            "start every rank, each with its own RANK, and let the first one's machine be reached"
        ) from None
    try:
        yield ranks
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "/gloo/" not in str(error):
            raise
        how = f"hangs, for {seconds:.0f} s" if "timed out" in str(error).lower() else "has gone"
        reason = re.sub(r"^\[\S*\] ", "", brief(error))  # without the line of torch's source
        raise LostRankError(
            f"{where}: another rank {how} ({reason}): see what it says; a training goes on from its last checkpoint "
            "with --resume"
        ) from None
    finally:
        dist.destroy_process_group()


@contextmanager
def _quiet_if_it_fails() -> Iterator[None]:
    """Hold standard error back, and drop it if a failure follows: torch's C++ prints a page of addresses, we a line."""
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 2)
            try:
                yield
                sys.stderr.flush()
            finally:
                os.dup2(before, 2)
            said.seek(0)
            with suppress(OSError):  # nobody reads it
                os.write(2, said.read())
    finally:
        os.close(before)


def _meet(backend: str) -> None:
    """Wait for all ranks, and make them a process group."""
    store, rank, world_size = next(rendezvous("env://", timeout=COLLECTIVE_TIMEOUT))
    # the store outlives a restart, and in it the addresses of the ranks before: who read those would wait for the dead
    store = PrefixStore(f"attempt {environment.restarts()}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=COLLECTIVE_TIMEOUT)
