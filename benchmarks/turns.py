"""A way's turn in a process of its own. Of the standard library alone: other projects' interpreters run it too."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RUN_UP = 8
"""Batches before a measurement: more than any way has ready when its first one comes."""


def bind(cores: int) -> None:
    """Bind this process, and the workers that it starts, to so many of its cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def take(batches: Iterator[Any], batch_size: int, seconds: float) -> None:
    """Print the clips a second of some seconds and the CPU ms a clip, and end the process's group."""
    for _ in range(RUN_UP):
        next(batches)
    count, start, cpu = 0, time.perf_counter(), cpu_seconds()
    while time.perf_counter() - start < seconds:
        next(batches)
        count += batch_size
    figures = {"rate": count / (time.perf_counter() - start), "cpu": 1000 * (cpu_seconds() - cpu) / count}
    print(f"\n{json.dumps(figures)}", flush=True)
    os.killpg(0, signal.SIGKILL)  # with the workers, which still run ahead


def cpu_seconds() -> float:
    """Return what this process and its children have computed so far; it swings less than time on a busy machine."""
    ticks, processes = 0, [os.getpid()]
    for process in processes:
        for task in Path(f"/proc/{process}/task").iterdir():
            processes += [int(child) for child in (task / "children").read_text().split()]
        ticks += sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")
