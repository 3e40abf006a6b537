"""Ranks: the same mathematics on any number of them, and what the environment says of them."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tsn.train.ranks.group import COLLECTIVE_TIMEOUT, Ranks, joined
from tsn.tsn_shared.settings import DataSettings

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).parents[1] / "rank_steps.py"


def losses_of(data: DataSettings, tmp_path: Path, *jobs: dict[str, Any]) -> list[list[float]]:
    """Run jobs of rank_steps.py on a copy of the data; return the losses of each job's steps."""
    folder = shutil.copytree(data.frames, tmp_path / "data")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), *map(json.dumps, jobs)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_same_global_batch_gives_the_same_losses_on_any_number_of_ranks_dropout_included(
    data: DataSettings, tmp_path: Path
) -> None:
    """12 clips a step, as 1 x 12, 2 x 6, 4 x 3 and 2 ranks of 2 x 3 accumulated; and 4 + 6 steps on 1, then 3 ranks.

    And of a network that is frozen but for its last layer, by AdamW, on 1 and 2 ranks.
    """
    frozen = {"steps": 4, "optimizer": "adamw", "frozen": True}
    alone, *others, before, after, frozen_alone, frozen_by_two = losses_of(
        data,
        tmp_path,
        {"ranks": 1, "batch_size": 12, "steps": 10},
        {"ranks": 2, "batch_size": 6, "steps": 10},
        {"ranks": 4, "batch_size": 3, "steps": 10},
        {"ranks": 2, "batch_size": 3, "accumulate": 2, "steps": 10},
        {"ranks": 1, "batch_size": 12, "steps": 4},
        {"ranks": 3, "batch_size": 4, "steps": 6, "continue": True},
        {"ranks": 1, "batch_size": 12, **frozen},
        {"ranks": 2, "batch_size": 6, **frozen},
    )
    assert frozen_by_two == pytest.approx(frozen_alone, rel=1e-5)
    assert frozen_alone[0] == pytest.approx(alone[0], rel=1e-6)
    assert frozen_alone[-1] != pytest.approx(alone[3], rel=1e-3)
    assert len(alone) == 10
    assert alone[-1] < alone[0]
    for losses in (*others, before + after):
        assert losses == pytest.approx(alone, rel=1e-5)


@pytest.mark.slow
def test_a_rank_that_times_itself_disturbs_no_other(data: DataSettings, tmp_path: Path) -> None:
    """With batch statistics, which DDP sends to all ranks before a step."""
    job = {"ranks": 2, "batch_size": 6, "steps": 3, "norm": True}
    plain, paced = losses_of(data, tmp_path, job, job | {"paced": True})
    assert paced == plain


@pytest.mark.slow
def test_a_rank_that_hangs_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT.with_name("late_rank.py"))],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "rank 0 of 2: another rank hangs, for 3 s (Timed out waiting 3000ms for recv operation to complete): "
        "see what it says; a training goes on from its last checkpoint with --resume",
    ]


ALONE = """
import sys
from datetime import timedelta
import tsn.train.ranks.group as module
module.COLLECTIVE_TIMEOUT = timedelta(seconds=3)
from tsn.cli import main
main()
"""


@pytest.mark.slow
def test_ranks_that_never_come_are_one_line(data: DataSettings, tmp_path: Path) -> None:
    started = []
    for rank in ("0", "1"):  # neither finds the other
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        words = ["train", "--gpus", "0", "--frames", str(data.frames), "--splits", str(data.splits)]
        process = subprocess.Popen(
            [sys.executable, "-c", ALONE, *words, "--run", str(tmp_path / "run")],
            cwd=ROOT,
            env=os.environ | ranks | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append((rank, port, process))
    for rank, port, process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 1
        (line,) = said.splitlines()
        assert line.startswith(f"tsn: rank {rank} of 2: the others did not come to 127.0.0.1:{port} within 3 s (")
        assert line.endswith("start every rank, each with its own RANK, and let the first one's machine be reached")
    assert not (tmp_path / "run").exists()


def test_a_rank_is_waited_for_as_long_as_the_guide_says() -> None:
    guide = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert f"hangs for {COLLECTIVE_TIMEOUT.total_seconds() / 60:g} minutes" in guide


def test_one_rank_decides_and_sums_alone() -> None:
    ranks = Ranks(device=torch.device("cpu"))
    assert ranks.agree(lambda: 3) == 3
    assert torch.equal(ranks.max(torch.tensor([1, 2])), torch.tensor([1, 2]))


ALONE_IN_A_GROUP = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}


def test_a_reduction_leaves_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a real group, of one: the sum over more ranks would show it as another number."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    for name, value in (ALONE_IN_A_GROUP | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}).items():
        monkeypatch.setenv(name, value)
    with joined(on_gpu=False) as ranks:
        assert ranks.grouped
        given = torch.tensor([1, 2])
        for reduced in (ranks.sum(given), ranks.max(given)):
            assert torch.equal(reduced, given)
            reduced += 1
        assert given.tolist() == [1, 2]
