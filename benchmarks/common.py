"""What every benchmark needs: the machine in words, fair turns, one timer, options, and a place for the results.

A single absolute time says little on a shared machine: what is compared is measured in turns, read as ratios.
"""

import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, TypeVar

import click

from tsn.train.versions import versions
from tsn.tsn_shared.console import printable, table
from tsn.tsn_shared.errors import TsnError

if TYPE_CHECKING:
    import torch

Figure = TypeVar("Figure")
RESULTS = Path(__file__).parent / "results"

PATH = click.Path(path_type=Path)
write_option = click.option("--write", is_flag=True, help="Write the result to benchmarks/results.")
rounds_option = click.option("--rounds", default=5, show_default=True, help="Turns of each way.")


def machine() -> str:
    """Return the machine in words: processor, memory, GPUs and their driver, versions; no names, no paths."""
    processors = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    cores = f"{len(os.sched_getaffinity(0))} cores ({next(iter(processors), platform.machine())})"
    memory = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    query = "nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader"
    failed, gpus = subprocess.getstatusoutput(query)
    words = [
        cores,
        memory,
        "no GPU" if failed else gpus.replace("\n", "; "),
        platform.system(),
        f"Python {platform.python_version()}",
    ]
    return ", ".join(words + [f"{name} {number}" for name, number in versions().items()])


def interleaved(ways: Mapping[str, Callable[[], Figure]], rounds: int) -> dict[str, list[Figure]]:
    """Call each way in turn, `rounds` times over, so that a busy minute meets all of them; return their figures.

    Every second round goes backwards: no way always follows the same other one.
    """
    figures: dict[str, list[Figure]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            figures[name].append(ways[name]())
    return figures


def ratios(figures: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return a way's figure over another's of the same round, for each round."""
    return [own / other for own, other in zip(figures, base, strict=True)]


def spread(figures: Sequence[float], digits: int = 0) -> str:
    """Return the median of the rounds, and the least and the most of them, in words."""
    least, middle, most = (f"{which(figures):,.{digits}f}" for which in (min, median, max))
    return f"{middle} ({least} to {most})"


def timed(call: Callable[[], object], *, seconds: float, device: "torch.device | None" = None) -> tuple[float, float]:
    """Return the mean wall and CPU seconds of a call, for about so many seconds, after three that are not counted."""
    repeated(call, 3, device)
    first, _ = repeated(call, 3, device)
    return repeated(call, max(3, int(seconds / first)), device)


def repeated(call: Callable[[], object], count: int, device: "torch.device | None" = None) -> tuple[float, float]:
    """Return the mean wall and CPU seconds of so many calls; the device's work is waited for."""
    import torch

    wait: Callable[[], None] = torch.cuda.synchronize if device and device.type == "cuda" else lambda: None
    wait()
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        call()
    wait()
    return (time.perf_counter() - start) / count, (time.process_time() - cpu) / count


def run(command: click.Command) -> None:
    """Run a benchmark's command; what its user can mend is one line and an exit code, as in those of tsn."""
    try:
        command()
    except TsnError as error:
        click.echo(printable(str(error)), err=True)
        raise SystemExit(error.exit_code) from None


def report(name: str, words: str, heads: Sequence[str], rows: Sequence[Sequence[object]], *, write: bool) -> None:
    """Print a result, a title and words over a table, and write it to benchmarks/results/NAME.md if asked."""
    title, _, rest = words.partition("\n")
    text = f"# {title}\n\n{time.strftime('%Y-%m-%d')}. {rest}\n\n{machine()}.\n\n{table(heads, rows, columns=500)}\n"
    click.echo(text)
    if write:
        (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
