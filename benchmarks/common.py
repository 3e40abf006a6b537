"""What every benchmark needs: the machine in words, fair turns, a table, and a place for the results.

A single absolute time says little on a shared machine: ways are measured in turns, and read as ratios of medians.
"""

import os
import platform
import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tsn.tsn_shared.console import table

__all__ = ["RESULTS", "interleaved", "library_versions", "machine", "table", "write_result"]

RESULTS = Path(__file__).parent / "results"
LIBRARIES = (
    "torch",
    "torchvision",
    "nvidia-dali-cuda120",
    "h5py",
    "numpy",
    "ffmpeg-python",
    "imageio-ffmpeg",
    "simplejpeg",
    "opencv-python-headless",
)


def machine() -> str:
    """Return the machine in words: processor, memory, GPUs and their driver, versions; no names, no paths."""
    cores = f"{len(os.sched_getaffinity(0))} cores ({_processor()})"
    memory = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    libraries = ", ".join(f"{name} {number}" for name, number in library_versions().items())
    return f"{cores}, {memory}, {_gpus()}; {platform.system()}, Python {platform.python_version()}, {libraries}"


def library_versions() -> dict[str, str]:
    """Return the versions of those libraries that are installed and decide the speed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def interleaved(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Call each way in turn, `rounds` times over, so that a busy minute meets all of them; return their figures.

    Every second round goes backwards: no way always follows the same other one.
    """
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        names = list(ways) if turn % 2 == 0 else list(reversed(ways))
        for name in names:
            figures[name].append(ways[name]())
    return figures


def write_result(name: str, text: str) -> Path:
    """Write benchmarks/results/NAME.md and return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.md"
    path.write_text(f"{text.rstrip()}\n", encoding="utf-8")
    return path


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _gpus() -> str:
    """Name the GPUs without torch where its driver is missing; importing torch is left to those who measure it."""
    driver = Path("/proc/driver/nvidia/version")
    if not driver.exists():
        return "no GPU"
    import torch

    number = re.search(r"Kernel Module.*?\s(\d+\.\d+[.\d]*)\s", driver.read_text(encoding="utf-8", errors="replace"))
    names = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    cards = ", ".join(f"{card.name} ({card.total_memory / 2**30:.0f} GiB)" for card in names) or "GPU not usable"
    return f"{cards}, driver {number[1] if number else 'unknown'}, CUDA {torch.version.cuda}"
