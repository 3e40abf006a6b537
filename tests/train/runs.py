"""What tests of whole trainings share: the command of a training, and its history without what a clock says."""

import json
import sys
from pathlib import Path
from typing import Any

from train.evaluate import Evaluation, evaluate
from tsn_shared.settings import SplitScoreSettings

ROOT = Path(__file__).parents[2]
CLOCK = {"seconds", "clips_per_second", "data_wait_share"}


def history(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of metrics.jsonl, less the columns that no two runs share."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


def evaluated(checkpoint: Path, **settings: Any) -> Evaluation:
    """Evaluate a checkpoint, or the best of a run, with these settings."""
    return evaluate(checkpoint, SplitScoreSettings(**settings))


def flags(settings: dict[str, Any]) -> list[str]:
    """Return settings as flags of `tsn train`."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


def command(settings: dict[str, Any], *more: str) -> list[str]:
    """Return the command that trains with these settings."""
    return [sys.executable, "-m", "cli", "train", *flags(settings), *more]
