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

from tsn.pipeline.loading.loader import cpu_share
from tsn.train.ranks.group import COLLECTIVE_TIMEOUT, Ranks, adopt_slurm, environment_ranks, first_host
from tsn.tsn_shared.errors import SettingsError
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
    """12 clips a step, as 1 x 12, 2 x 6, 4 x 3 and 2 ranks of 2 x 3 accumulated; and 4 + 6 steps on 1, then 3 ranks."""
    alone, *others, before, after = losses_of(
        data,
        tmp_path,
        {"ranks": 1, "batch_size": 12, "steps": 10},
        {"ranks": 2, "batch_size": 6, "steps": 10},
        {"ranks": 4, "batch_size": 3, "steps": 10},
        {"ranks": 2, "batch_size": 3, "accumulate": 2, "steps": 10},
        {"ranks": 1, "batch_size": 12, "steps": 4},
        {"ranks": 3, "batch_size": 4, "steps": 6, "continue": True},
    )
    assert len(alone) == 10
    assert alone[-1] < alone[0]
    for losses in (*others, before + after):
        assert losses == pytest.approx(alone, rel=1e-5)


def test_a_rank_that_times_itself_disturbs_no_other(data: DataSettings, tmp_path: Path) -> None:
    """With batch statistics, which DDP sends to all ranks before a step."""
    job = {"ranks": 2, "batch_size": 6, "steps": 3, "norm": True}
    plain, paced = losses_of(data, tmp_path, job, job | {"paced": True})
    assert paced == plain


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


SLURM = {
    "SLURM_STEP_NUM_TASKS": "7",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2",
    "SLURM_JOB_ID": "123456",
    "SLURM_STEP_NODELIST": "gpu[003-005,010]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x3),1",
}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", *SLURM):
        monkeypatch.setenv(name, "")  # so that what adopt_slurm sets is undone as well
        monkeypatch.delenv(name)
    return monkeypatch


def test_slurms_tasks_are_ranks(bare: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        bare.setenv(name, value)
    adopt_slurm()
    assert environment_ranks() == {"rank": 5, "world_size": 7, "local_rank": 1, "local_world_size": 2}


def test_a_step_of_one_task_or_no_step_is_no_group_of_ranks(bare: pytest.MonkeyPatch) -> None:
    adopt_slurm()
    assert environment_ranks() is None
    for name, value in (SLURM | {"SLURM_STEP_NUM_TASKS": "1"}).items():
        bare.setenv(name, value)
    adopt_slurm()
    assert environment_ranks() is None


def test_a_partial_environment_names_what_is_missing(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(SettingsError, match="not SLURM_PROCID, SLURM_LOCALID"):
        adopt_slurm()
    bare.setenv("RANK", "0")
    with pytest.raises(SettingsError, match="RANK set in the environment, but not LOCAL_RANK"):
        environment_ranks()


TORCHRUN = {
    "RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
}
NO_NUMBERS = ("", "abc", "-1", "1.5", " ", "0x1", "9" * 400, "\x1b[31m")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("RANK", (*NO_NUMBERS, "4")),
        ("WORLD_SIZE", (*NO_NUMBERS, "0", "1")),  # 1 is less than those of this machine
        ("LOCAL_RANK", (*NO_NUMBERS, "2")),
        ("LOCAL_WORLD_SIZE", (*NO_NUMBERS, "0", "5")),
        ("MASTER_PORT", (*NO_NUMBERS, "0", "99999999")),
        ("MASTER_ADDR", ("", " ")),
    ],
)
def test_an_impossible_environment_of_torchrun_is_one_line(
    bare: pytest.MonkeyPatch, name: str, values: tuple[str, ...]
) -> None:
    for value in values:
        for variable, stated in (TORCHRUN | {name: value}).items():
            bare.setenv(variable, stated)
        with pytest.raises(SettingsError, match=rf"{name}|LOCAL_WORLD_SIZE") as raised:
            environment_ranks()
        assert str(raised.value).isprintable()
    bare.setenv(name, TORCHRUN[name])
    found = environment_ranks()
    assert found == {"rank": 1, "world_size": 4, "local_rank": 1, "local_world_size": 2}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("SLURM_STEP_NUM_TASKS", NO_NUMBERS),
        ("SLURM_JOB_ID", NO_NUMBERS),
        ("SLURM_NODEID", (*NO_NUMBERS, "4")),
        ("SLURM_PROCID", (*NO_NUMBERS, "7")),
        ("SLURM_LOCALID", (*NO_NUMBERS, "2")),
        ("SLURM_STEP_TASKS_PER_NODE", ("", "2(x3", "a", "2(x99999999999)", "9999999999", "2,x", "-2")),
        ("SLURM_STEP_NODELIST", ("", ",", "[1-2]")),
    ],
)
def test_an_impossible_environment_of_slurm_is_one_line(
    bare: pytest.MonkeyPatch, name: str, values: tuple[str, ...]
) -> None:
    for value in values:
        for variable in TORCHRUN:
            bare.delenv(variable, raising=False)
        for variable, stated in (SLURM | {name: value}).items():
            bare.setenv(variable, stated)

        def adopted() -> None:
            adopt_slurm()
            environment_ranks()

        with pytest.raises(SettingsError, match=r"environment|no machine") as raised:
            adopted()
        assert str(raised.value).isprintable()


@pytest.mark.parametrize("value", [*NO_NUMBERS, "0"])
def test_the_share_of_the_cores_is_of_a_number_of_processes(bare: pytest.MonkeyPatch, value: str) -> None:
    bare.setenv("LOCAL_WORLD_SIZE", value)
    with pytest.raises(SettingsError, match=r"LOCAL_WORLD_SIZE is .* it must be a whole number, 1 to"):
        cpu_share()


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu[003-006,010],login1", "gpu003"), ("a1,a2", "a1"), ("node7", "node7"), ("n[1,3]-ib", "n1-ib")],
)
def test_the_first_machine_of_a_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first
