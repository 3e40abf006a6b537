"""What `tsn` does on your GPU, in two commands of five minutes: whether it is right there, then how fast it is.

    pip install '.[test]'
    python -m benchmarks.gpu_visit right        training as it comes, and the tests that need a GPU
    python -m benchmarks.gpu_visit figures      the loader, the step and `tsn train`, beside their aims

Both draw a small data set, or take yours with --frames and --splits. `--rehearse` runs the same on the CPU with tiny
sizes, for whoever changes these files without a GPU at hand; --only names single stages (`curve` compares bf16 with
fp32, in four minutes of its own).

Every stage is a process of its own with a time limit, and writes down each figure when it has it, so that neither a
crash nor the limit loses what was measured before. Ends with one table; all of it is in gpu_<part>.json and .md.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, machine, table
from benchmarks.visit.plan import Figure, Visit
from benchmarks.visit.stages import PARTS, STAGES

ROOT = Path(__file__).parents[1]
MINUTES = 4.8
LEAST = 5.0
"""Seconds that must be left for a stage to be started."""

LOG_TAIL = 1500
"""Characters of a failed stage's output that the report keeps; all of it lies beside, as gpu_<stage>.log."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a stage ended, in words ("done", "out of time", "exit code 1"), its seconds, figures and last words."""

    stage: str
    end: str
    seconds: float
    figures: tuple[Figure, ...]
    log: str = ""


def main() -> int:
    """Run the stages one after the other; 0 if all of them were done, else 1."""
    options = parse()
    started = time.strftime("%Y-%m-%d")
    deadline = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="tsn-visit-") as folder:
        visit = Visit(
            folder=Path(folder),
            frames=options.frames.resolve() if options.frames else None,
            splits=options.splits.resolve() if options.splits else None,
            rehearse=options.rehearse,
        )
        outcomes = [run_stage(name, visit, deadline) for name in options.only or PARTS[options.part]]
        options.out.mkdir(parents=True, exist_ok=True)
        for outcome in outcomes:
            if outcome.log:
                shutil.copy(visit.folder / f"{outcome.stage}.log", options.out / f"gpu_{outcome.stage}.log")
    report = {
        "date": started,
        "commit": commit(),
        "machine": machine(),
        "rehearsal": options.rehearse,
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 1),
        "stages": [asdict(outcome) for outcome in outcomes],
    }
    text = describe(report, outcomes)
    (options.out / f"gpu_{options.part}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (options.out / f"gpu_{options.part}.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return int(any(outcome.end != "done" for outcome in outcomes))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("part", choices=list(PARTS), help="what is asked: whether it is right, or how fast")
    parser.add_argument("--frames", type=Path, help="folder of frame shards; without it a data set is drawn")
    parser.add_argument("--splits", type=Path, help="folder of split files that belong to --frames")
    parser.add_argument("--out", type=Path, help="folder for the .json and .md")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="what all stages may take (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=list(STAGES), help="just these stages; they may need data")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes on the CPU; figures mean nothing")
    options = parser.parse_args()
    if (options.frames is None) != (options.splits is None):
        parser.error("--frames and --splits belong together")
    if options.only and "data" not in options.only:
        options.only = ["data", *options.only]
    options.out = options.out or (ROOT / "runs" / "rehearsal" if options.rehearse else RESULTS)
    return options


def commit() -> str:
    """Return the commit that is checked out, "unknown" where git does not tell."""
    words = ["git", "describe", "--always", "--dirty"]
    with suppress(OSError):
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip() or "unknown"
    return "unknown"


def run_stage(name: str, visit: Visit, deadline: float) -> Outcome:
    """Run a stage within its time and what is left of the visit's; what it wrote down counts, however it ended."""
    limit = min(STAGES[name].limit, deadline - time.monotonic())
    if limit < LEAST:
        return Outcome(stage=name, end="no time left", seconds=0.0, figures=())
    print(f"-- {name}", file=sys.stderr, flush=True)
    start, log = time.monotonic(), visit.folder / f"{name}.log"
    end = run_limited([sys.executable, "-m", "benchmarks.visit.stages", name, visit.encode()], log, limit)
    words = "" if end == "done" else log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
    for folder in (ROOT, visit.folder):
        words = words.replace(f"{folder}/", "")
    seconds = round(time.monotonic() - start, 1)
    return Outcome(stage=name, end=end, seconds=seconds, figures=tuple(visit.figures(name)), log=words)


def run_limited(command: list[str], log: Path, limit: float) -> str:
    """Run a command in its own process group, which is killed whole at the end of its time; say how it ended."""
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        ) as process,
    ):
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return "out of time"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return "done" if code == 0 else f"exit code {code}"


def describe(report: dict[str, Any], outcomes: list[Outcome]) -> str:
    """Return the report in Markdown, the table of all figures last."""
    title = "Rehearsal on the CPU: the figures mean nothing" if report["rehearsal"] else "On a GPU"
    lost = [f"- {o.stage}: {o.end} after {o.seconds:.0f} s\n\n```\n{o.log}\n```" for o in outcomes if o.end != "done"]
    times = ", ".join(f"{outcome.stage} {outcome.seconds:.0f} s" for outcome in outcomes)
    rows = [
        (o.stage, f.name, f.shown, f.unit, f.aim, "" if report["rehearsal"] else f.verdict)
        for o in outcomes
        for f in o.figures
    ]
    parts = [
        f"# {title}",
        f"{report['date']}, commit {report['commit']}. {report['machine']}.",
        f"{report['seconds']:.0f} s in all: {times}.",
        *(["Not done:", "\n".join(lost)] if lost else []),
        table(["stage", "what", "figure", "unit", "aim", ""], rows),
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
