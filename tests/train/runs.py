"""What tests of whole trainings share: the command of a training, and its history without what a clock says."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tsn.train.answers.evaluate import Evaluation, evaluate
from tsn.train.fit.checkpoint import LAST, load_checkpoint
from tsn.tsn_shared.settings import SplitScoreSettings

ROOT = Path(__file__).parents[2]
LIMIT = 300
"""Seconds after which a process that a test waits for has failed it."""

CLOCK = {"seconds", "clips_per_second", "data_wait_share"}


def history(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of metrics.jsonl, without the columns that no two runs share."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


def evaluated(checkpoint: Path, **settings: Any) -> Evaluation:
    """Evaluate a checkpoint, or the best of a run, with these settings."""
    return evaluate(checkpoint, SplitScoreSettings(**settings))


def flags(settings: dict[str, Any]) -> list[str]:
    """Return settings as flags of `tsn train`."""
    return [_flag(name.replace("_", "-"), value) for name, value in settings.items()]


def _flag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={value}"


def command(settings: dict[str, Any], *more: str) -> list[str]:
    """Return the command that trains with these settings."""
    return [sys.executable, "-m", "tsn", "train", *flags(settings), *more]


STARTED: list[subprocess.Popen[str]] = []


def start(words: list[str], **environment: str) -> subprocess.Popen[str]:
    STARTED.append(
        subprocess.Popen(
            words, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    )
    return STARTED[-1]


def finish(process: subprocess.Popen[str], code: int = 0, limit: float = LIMIT) -> str:
    """Wait for a process to end with this exit code; return what it said on standard error."""
    try:
        said = process.communicate(timeout=limit)[1]
    finally:
        process.kill()
    assert process.returncode == code, said
    return said


def wait_for(condition: Callable[[], Any]) -> Any:
    begun = time.monotonic()
    while time.monotonic() - begun < LIMIT:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise TimeoutError


def at_step(folder: Path, step: int) -> None:
    """Wait until a run has saved this step."""

    def there() -> bool:
        log = folder / "checkpoints" / LAST
        return log.exists() and load_checkpoint(log)["step"] >= step

    wait_for(there)


def ranks_of(parent: int) -> list[int]:
    """Return the processes of a training's ranks, in the order of their start."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    named = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [child for child, words in named.items() if b"spawn_main" in words and b"resource_tracker" not in words]
