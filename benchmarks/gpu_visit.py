"""What `tsn` does on your GPU, in two commands of five minutes: whether it is right there, then how fast it is.

    pip install '.[test]'
    python -m benchmarks.gpu_visit right        the tests that need a GPU, training among them
    python -m benchmarks.gpu_visit figures      the step, `tsn train` and the loader, beside their aims

Both draw a small data set, or take yours with --frames and --splits. `--rehearse` runs the same on the CPU with tiny
sizes, for whoever changes these files without a GPU at hand; --only names single stages.

Every stage is a process of its own with a time limit. Each figure is printed and written to gpu_<part>.md as it comes,
so that neither a crash nor a limit loses what was measured before; all that a stage says is kept in gpu_STAGE.log.
"""

import os
import pickle
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen

import click

from benchmarks.common import PATH, machine, run
from benchmarks.visit.stages import PARTS, STAGES, Visit

ROOT = Path(__file__).parents[1]


@click.command()
@click.argument("part", type=click.Choice(list(PARTS)))
@click.option("--frames", type=PATH, help="Folder of frame shards; without it a data set is drawn.")
@click.option("--splits", type=PATH, help="Folder of split files that belong to --frames.")
@click.option("--out", type=PATH, default=Path("runs/gpu-visit"), show_default=True, help="Folder for what is found.")
@click.option("--minutes", default=5.0, show_default=True, help="What all stages may take.")
@click.option("--only", multiple=True, type=click.Choice(list(STAGES)), help="Just this stage; may be repeated.")
@click.option("--rehearse", is_flag=True, help="Tiny sizes on the CPU; the figures mean nothing.")
def main(part: str, out: Path, minutes: float, only: tuple[str, ...], rehearse: bool, **data: Path | None) -> None:
    """Say whether tsn is right on this machine's GPU, or how fast; exit code 1 unless all stages were done."""
    if (data["frames"] is None) != (data["splits"] is None):
        raise click.UsageError("--frames and --splits belong together")
    import torch

    if not (rehearse or torch.cuda.is_available()):
        click.echo("gpu_visit: no GPU that torch could use; --rehearse runs the same on the CPU", err=True)
        sys.exit(2)
    if rehearse:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny steps would mostly wait for their threads
    deadline, ends = time.monotonic() + 60 * minutes, dict[str, str]()
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="tsn-visit-") as folder,
        (out / f"gpu_{part}.md").open("w", buffering=1) as report,
    ):

        def tell(line: str) -> None:
            click.echo(line)
            report.write(line + "\n")

        tell("# Rehearsal on the CPU: the figures mean nothing\n" if rehearse else "# On a GPU\n")
        tell(f"{time.strftime('%Y-%m-%d')}, commit {commit()}. {machine()}.\n")
        tell("| stage | what | figure | unit | aim | |\n|---|---|---:|---|---|---|")
        frames, splits = ((data[name] or Path(folder) / "data" / name).resolve() for name in ("frames", "splits"))
        visit = Visit(Path(folder), frames, splits, rehearse)
        for name in ("data", *only) if only else PARTS[part]:
            limit = min(STAGES[name][1], deadline - time.monotonic())
            command = [sys.executable, "-m", "benchmarks.visit.stages", name, pickle.dumps(visit).hex()]
            begun, log = time.monotonic(), out / f"gpu_{name}.log"
            end = run_limited(command, log, limit, tell) if limit > 5 else "no time left"
            ends[name] = f"{name}: {end}, {time.monotonic() - begun:.0f} s" + f"; see {log}" * (end != "done")
        tell("\n" + "\n".join(f"- {end}" for end in ends.values()))
    sys.exit(int(any(": done" not in end for end in ends.values())))


def run_limited(command: list[str], log: Path, limit: float, tell: Callable[[str], None]) -> str:
    """Run a command, which is killed with its children at the end of its time; say how it ended.

    What it prints is told line by line, what it says otherwise goes to its log.
    """
    words = ["timeout", "--signal", "KILL", f"{limit:.1f}", *command]
    with log.open("wb") as said, Popen(words, cwd=ROOT, stdout=PIPE, stderr=said, text=True) as process:
        for line in process.stdout or ():
            tell(line.rstrip())
    return {0: "done", -signal.SIGKILL: "out of time"}.get(process.returncode, f"exit code {process.returncode}")


def commit() -> str:
    """Return the commit that is checked out, "unknown" where git does not tell."""
    return subprocess.getoutput(f"git -C {shlex.quote(str(ROOT))} describe --always --dirty 2>&- || echo unknown")


if __name__ == "__main__":
    run(main)
