"""Many processes on this machine: every way to start them, and one that dies, fails or is asked to stop."""

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.train.conftest import small_settings
from tests.train.runs import ROOT, at_step, command, finish, flags, history, ranks_of, start, wait_for
from tsn.train.fit.checkpoint import LAST, load_checkpoint
from tsn.train.fit.launch import train
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import DataSettings, TrainSettings

Small = dict[str, Any]


EPOCHS = 5


def settings_of_two(small: Small) -> Small:
    """Settings of a training on two processes: 10 steps of 6 clips, 2 an epoch."""
    return small | {"batch_size": 3, "num_processes": 2, "num_epochs": EPOCHS}


@pytest.fixture
def two(small: Small) -> Small:
    return settings_of_two(small) | {"save_every": 1}


@pytest.fixture(scope="module")
def whole(data: DataSettings, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The history of the training on two processes that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(start(command(settings_of_two(small_settings(data, folder)))))
    return history(folder)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])


def test_a_rank_killed_mid_epoch_restarts_them_all_and_the_run_ends_as_if_left_alone(
    two: Small, whole: list[dict[str, Any]]
) -> None:
    folder = Path(two["run"])
    process = start(command(two))
    at_step(folder, 1)
    os.kill(ranks_of(process.pid)[1], signal.SIGKILL)
    said = finish(process)
    assert said.count("a rank died: restart 1 of 3, from the last checkpoint") == 1
    assert "Traceback" not in said
    assert history(folder) == whole


@pytest.mark.slow
def test_killed_whole_or_asked_to_stop_two_ranks_go_on_exactly(two: Small, whole: list[dict[str, Any]]) -> None:
    folder = Path(two["run"])
    resume = [sys.executable, "-m", "tsn", "train", "--resume", str(folder)]
    killed = start(command(two))
    at_step(folder, 1)
    ranks = ranks_of(killed.pid)
    assert len(ranks) == 2
    killed.kill()
    finish(killed, code=-signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{rank}").exists() for rank in ranks))  # nobody is left behind
    step = load_checkpoint(folder / "checkpoints" / LAST)["step"]

    stopped = start(resume)
    at_step(folder, step + 1)
    stopped.send_signal(signal.SIGUSR1)
    said = finish(stopped, code=75)
    step = load_checkpoint(folder / "checkpoints" / LAST)["step"]
    line = f"tsn: stopped by a signal at step {step}, which is saved: go on with --resume {folder}"
    assert said.splitlines()[-1] == line

    finish(start(resume))
    assert history(folder) == whole


@pytest.mark.slow  # many processes do, below
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_one_process_saves_and_stops_as_well(small: Small, number: signal.Signals) -> None:
    folder = Path(small["run"])
    process = start(command(small | {"num_epochs": 1000}))
    wait_for(lambda: (folder / "metrics.jsonl").exists())
    process.send_signal(number)
    said = finish(process, code=75)
    step = load_checkpoint(folder / "checkpoints" / LAST)["step"]
    assert f"stopped by a signal at step {step}, which is saved: go on with --resume {folder}" in said
    assert "stopped by a signal" in (folder / "log.txt").read_text()


@pytest.mark.slow
def test_one_rank_of_torchruns_is_a_group_and_computes_what_none_does(small: Small, tmp_path: Path) -> None:
    """Its process group is a real one: what a cluster's launcher starts is the same code for 1 rank and for 100."""
    small |= {"num_epochs": 1}
    finish(start(command(small | {"run": tmp_path / "alone"})))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1", "-m"]
    folder = small.pop("run")
    finish(start([*torchrun, "tsn", "train", *flags(small)], TSN_TRAIN_RUN=str(folder)))
    assert history(folder) == history(tmp_path / "alone")


@pytest.mark.slow
def test_torchruns_ranks_compute_what_our_own_launch_does(small: Small, whole: list[dict[str, Any]]) -> None:
    settings = settings_of_two(small)
    del settings["num_processes"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m"]
    folder = settings.pop("run")
    said = finish(start([*torchrun, "tsn", "train", *flags(settings)], TSN_TRAIN_RUN=str(folder)))
    assert history(folder) == whole
    assert said.count("2 x CPU, 6 clips a step") == 1  # one rank speaks


@pytest.mark.slow
@pytest.mark.parametrize("foreground", [True, False])
def test_without_restarts_a_dead_rank_ends_the_run_within_a_minute_with_one_line(two: Small, foreground: bool) -> None:
    """In the foreground of a terminal, and detached from any."""
    folder = Path(two["run"])
    words = command(two | {"num_epochs": 1000, "max_restarts": 0})
    shown, terminal = pty.openpty()
    process = subprocess.Popen(
        words,
        cwd=ROOT,
        stdin=terminal if foreground else subprocess.DEVNULL,
        stderr=terminal if foreground else subprocess.PIPE,
        start_new_session=True,
    )
    at_step(folder, 1)
    os.kill(ranks_of(process.pid)[1], signal.SIGKILL)
    died = time.monotonic()
    try:
        said = _read_terminal(shown, process) if foreground else process.communicate(timeout=60)[1].decode()
    finally:
        process.kill()
    assert time.monotonic() - died < 60
    assert process.wait() == 1
    assert (
        said.rstrip().splitlines()[-1]
        == "tsn: rank 1 died (SIGKILL, exit code -9): run it again, a training with --resume"
    )
    assert "Traceback" not in said


def _read_terminal(shown: int, process: subprocess.Popen[Any]) -> str:
    said = b""
    os.set_blocking(shown, False)
    begun = time.monotonic()
    while time.monotonic() - begun < 60:
        try:
            said += os.read(shown, 65536)
        except (BlockingIOError, OSError):
            if process.poll() is not None:
                break
            time.sleep(0.05)
    return said.decode()


@pytest.mark.slow
def test_ctrl_c_with_several_ranks_is_a_line_and_says_how_to_go_on(two: Small) -> None:
    process = start(command(two | {"num_epochs": 500}))
    at_step(Path(two["run"]), 1)
    process.send_signal(signal.SIGINT)
    said = finish(process, code=130)
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "tsn: interrupted"
    assert f"go on from it with --resume {two['run']}" in said


@pytest.mark.slow
def test_two_machines_meet_at_the_endpoint(small: Small, tmp_path: Path) -> None:
    words = command(small | {"batch_size": 3}, "--nnodes=2", f"--rdzv-endpoint=localhost:{free_port()}")
    agents = [start(words) for _ in range(2)]
    said = [finish(agent) for agent in agents]
    assert sorted(text.count("2 x CPU, 6 clips a step") for text in said) == [0, 1]
    assert [row["epoch"] for row in history(Path(small["run"]))] == [0, 1]


@pytest.mark.slow
def test_sruns_tasks_are_ranks_and_a_user_error_is_told_once(small: Small) -> None:
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_NODEID": "0", "SLURM_STEP_NODELIST": "localhost"}
    step |= {"SLURM_JOB_ID": str(free_port()), "SLURM_STEP_TASKS_PER_NODE": "2", "MASTER_PORT": str(free_port())}
    for code in (0, 2):  # the second time there is a run in the folder
        tasks = [
            start(command(small | {"batch_size": 3}), **step, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank))
            for rank in range(2)
        ]
        said = [finish(task, code=code) for task in tasks]
        assert sum("holds a run" in text for text in said) == (code == 2)


@pytest.mark.slow
def test_vgg16_with_its_dropout_gives_the_same_losses_on_1_2_and_4_processes(small: Small, tmp_path: Path) -> None:
    """Ten steps of all 12 clips, an epoch each, so that every step's loss is a row."""
    small |= {"model": "vgg16", "num_epochs": 10, "lr": 0.003}
    losses = {}
    for processes in (1, 2, 4):
        folder = tmp_path / str(processes)
        process = start(command(small | {"run": folder, "batch_size": 12 // processes, "num_processes": processes}))
        finish(process, limit=600)
        losses[processes] = [row["train_loss"] for row in history(folder)]
    assert len(losses[1]) == 10
    assert losses[2] == pytest.approx(losses[1], rel=1e-5)
    assert losses[4] == pytest.approx(losses[1], rel=1e-5)


def test_machines_that_train_together_need_a_folder_and_an_endpoint(small: Small) -> None:
    small["run"] = None
    with pytest.raises(SettingsError, match="--nnodes 2 needs --run DIR"):
        train(TrainSettings(**small, nnodes=2), frozenset())
    with pytest.raises(SettingsError, match="--nnodes 2 needs --rdzv-endpoint"):
        train(TrainSettings(**small | {"run": Path("runs/none")}, nnodes=2), frozenset())
