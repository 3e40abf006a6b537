"""What a launcher (torchrun, torch elastic, Slurm) says of this process in the environment: read here, and checked.

And what libraries that are loaded later are told there.
"""

import os
import re
from dataclasses import dataclass

from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.schema import shown

MOST_RANKS = 10**6

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_SLURM = (
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_JOB_ID"),
    *("SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE"),
)


def wait_asleep() -> None:
    """Have OpenMP's threads sleep where they wait for each other, unless the environment says otherwise.

    By itself libgomp has them spin, and a thread that spins keeps the one that it waits for from a core as soon as
    other work shares the cores. It is read when torch is loaded; processes that are started get it as well.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A process as its launcher numbers it, over all machines and on its own; alone by default."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1


def whole(name: str, default: int, *, low: int = 0, high: int = MOST_RANKS) -> int:
    """Return the whole number that a variable states, from `low` to `high`; `default` where it is not set.

    SettingsError for anything else.
    """
    stated = os.environ.get(name)
    if stated is None:
        return default
    number = int(stated) if stated.isdecimal() and len(stated) < 20 else -1
    if not low <= number <= high:
        raise SettingsError(f"{name} is {shown(stated)} in the environment: it must be a whole number, {low} to {high}")
    return number


def launched() -> Launched | None:
    """Return what torchrun says of this process, None without it; a partial or impossible environment is an error."""
    there = [name for name in _TORCHRUN if name in os.environ]
    if not there:
        return None
    if len(there) < len(_TORCHRUN):
        missing = ", ".join(sorted(set(_TORCHRUN) - set(there)))
        raise SettingsError(
            f"{', '.join(there)} set in the environment, but not {missing}: use torchrun, or unset them"
        )
    whole("MASTER_PORT", 0, low=1, high=65_535)
    if not os.environ["MASTER_ADDR"].strip():
        raise SettingsError("MASTER_ADDR is empty in the environment: it must be the first rank's machine")
    world_size = whole("WORLD_SIZE", 1, low=1)
    here = whole("LOCAL_WORLD_SIZE", 1, low=1, high=world_size)
    return Launched(
        rank=whole("RANK", 0, high=world_size - 1),
        world_size=world_size,
        local_rank=whole("LOCAL_RANK", 0, high=here - 1),
        local_world_size=here,
    )


def adopt_slurm() -> None:
    """Under `srun` with several tasks, a rank each, say in torchrun's variables what Slurm says in its own.

    The first task's machine is where they meet, at a port drawn from the job's number; MASTER_ADDR and MASTER_PORT go
    before. A Slurm allocation without srun, or a step of one task, is no group of ranks and changes nothing.
    """
    if whole("SLURM_STEP_NUM_TASKS", 1) < 2 or {"RANK", "WORLD_SIZE"} & set(os.environ):
        return
    missing = [name for name in _SLURM if name not in os.environ]
    if missing:
        raise SettingsError(f"SLURM_STEP_NUM_TASKS is set in the environment, but not {', '.join(missing)}: use srun")
    port = 12_000 + whole("SLURM_JOB_ID", 0, high=2**62) % 20_000
    os.environ.update(
        RANK=os.environ["SLURM_PROCID"],
        WORLD_SIZE=os.environ["SLURM_STEP_NUM_TASKS"],
        LOCAL_RANK=os.environ["SLURM_LOCALID"],
        LOCAL_WORLD_SIZE=str(_tasks(os.environ["SLURM_STEP_TASKS_PER_NODE"], whole("SLURM_NODEID", 0))),
        MASTER_ADDR=os.environ.get("MASTER_ADDR", first_host(os.environ["SLURM_STEP_NODELIST"])),
        MASTER_PORT=os.environ.get("MASTER_PORT", str(port)),
    )


def first_host(nodes: str) -> str:
    """Return the first machine of a Slurm list: gpu003 of "gpu[003-006,010],login1"."""
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", nodes)
    if match is None:
        raise SettingsError(f"SLURM_STEP_NODELIST is {shown(nodes)} in the environment: no machine in it")
    return "".join(part or "" for part in match.groups())


def _tasks(per_node: str, node: int) -> int:
    """Return the tasks on a machine, given Slurm's list of them: "2(x3),1" is 2, 2, 2, 1."""
    left = node
    for part in per_node.split(","):
        match = re.fullmatch(r"(\d{1,6})(?:\(x(\d{1,6})\))?", part)
        if match is None:
            break
        left -= int(match[2] or 1)
        if left < 0:
            return int(match[1])
    raise SettingsError(
        f"SLURM_STEP_TASKS_PER_NODE is {shown(per_node)} in the environment: it says no number of tasks for the "
        f"machine of SLURM_NODEID {node}"
    )


def local_world_size() -> int:
    """Return how many ranks share this machine; 1 where no launcher says so."""
    return whole("LOCAL_WORLD_SIZE", 1, low=1)


def restarts() -> int:
    """Return how often torch elastic has started the ranks again."""
    return whole("TORCHELASTIC_RESTART_COUNT", 0)


def may_restart() -> bool:
    """Return whether torch elastic starts the ranks again where one dies."""
    return whole("TORCHELASTIC_MAX_RESTARTS", 0) > 0
