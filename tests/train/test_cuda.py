"""Training on a GPU: the numbers of the CPU where they must be the same, and whole runs in every precision."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.conftest import small_settings
from tests.train.runs import ROOT, at_step, command, finish, flags, history, ranks_of, start
from tsn.train.fit.checkpoint import load_checkpoint
from tsn.train.fit.compilation import FALLBACK
from tsn.train.fit.launch import train
from tsn.train.network.dropout import philox
from tsn.tsn_shared.errors import NotFiniteError
from tsn.tsn_shared.settings import DECODERS, DataSettings, TrainSettings

pytestmark = pytest.mark.needs_cuda


@pytest.fixture(autouse=True)
def _no_fall_back(tmp_path: Path) -> Iterator[None]:
    """On a GPU the compiler must work: a training that went on without it has failed."""
    yield
    logs = {path: path.read_text() for path in tmp_path.rglob("log.txt")}
    assert not [path for path, text in logs.items() if FALLBACK in text], logs


def test_dropout_masks_are_those_of_the_cpu() -> None:
    positions, blocks = torch.tensor([[0], [7], [2**33 + 5]]), torch.arange(1000)[None]
    here = philox(positions, blocks, seed=2**40 + 3, purpose=2)
    compiled: Any = torch.compile(philox)
    for compute in (philox, compiled):
        there = compute(positions.cuda(), blocks.cuda(), seed=2**40 + 3, purpose=2)
        assert torch.equal(there.cpu(), here)


def rows_of(small: dict[str, Any], **changed: Any) -> list[dict[str, Any]]:
    settings = TrainSettings(**(small | {"gpus": "1"} | changed))
    train(settings, frozenset())
    return history(Path(str(settings.run)))


def test_the_first_losses_are_those_of_the_cpu(small: dict[str, Any], tmp_path: Path) -> None:
    """In fp32 up to what other kernels and another JPEG decoder change; with dropout, which is the same."""
    small |= {"num_epochs": 1, "model": "vgg16", "precision": "fp32"}
    there = rows_of(small, run=tmp_path / "gpu", compile=False)
    here = rows_of(small, run=tmp_path / "cpu", gpus="0")
    assert there[0]["train_loss"] == pytest.approx(here[0]["train_loss"], rel=1e-2)


def test_it_trains_by_default(small: dict[str, Any]) -> None:
    """The published recipe's network and settings, without its weights: bf16, compiled, with dropout of 0.9."""
    rows = rows_of(small, model="vgg16", input_size=224, num_epochs=1, lr=0.001)
    assert rows[0]["train_loss"] == pytest.approx(1.386, abs=0.05)  # ln 4: it starts at chance
    assert "compiled in " in (Path(small["run"]) / "log.txt").read_text()


def test_a_decoder_that_was_chosen_is_kept_and_another_is_told(small: dict[str, Any]) -> None:
    rows_of(small, num_epochs=1, compile=False)
    log = Path(small["run"]) / "log.txt"
    chosen = load_checkpoint(Path(small["run"]) / "checkpoints" / "last.pt")["settings"]["decoder"]
    assert chosen in DECODERS
    assert log.read_text().count("frames are decoded by ") == 1
    train(TrainSettings(resume=str(small["run"]), num_epochs=2), frozenset({"num_epochs"}))
    assert log.read_text().count("frames are decoded by ") == 1
    other = "mixed" if chosen == "cpu" else "cpu"
    asked = TrainSettings(resume=str(small["run"]), num_epochs=3, decoder=other)
    train(asked, frozenset({"num_epochs", "decoder"}))
    assert f"frames are decoded by {other}, before it was {chosen}" in log.read_text()


ADAMW = {"optimizer": "adamw", "lr": 0.001}


@pytest.mark.parametrize(
    ("precision", "compiled", "more"),
    [
        ("bf16", False, {}),
        ("fp16", True, {}),
        ("fp16", False, ADAMW),
        ("bf16", True, ADAMW | {"freeze": "backbone", "head_lr": 2.0}),
    ],
)
def test_it_trains_and_goes_on(small: dict[str, Any], precision: str, compiled: bool, more: dict[str, Any]) -> None:
    rows_of(small, num_epochs=1, precision=precision, compile=compiled, **more)
    go_on = TrainSettings(resume=str(small["run"]), num_epochs=2, compile=False)
    train(go_on, frozenset({"num_epochs", "compile"}))
    rows = history(Path(small["run"]))
    assert [row["epoch"] for row in rows] == [0, 1]
    assert rows[0]["train_loss"] == pytest.approx(1.4, abs=0.3)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_loss_that_is_not_finite_ends_the_run(small: dict[str, Any], optimizer: str) -> None:
    with pytest.raises(NotFiniteError, match=r"at step \d+ \(learning rate 1e\+30\)"):
        rows_of(small, lr=1e30, num_epochs=3, compile=False, optimizer=optimizer)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_compute_what_one_does(small: dict[str, Any], tmp_path: Path) -> None:
    small |= {"model": "vgg16", "num_epochs": 1, "precision": "fp32"}
    one = rows_of(small, run=tmp_path / "one", batch_size=6)
    two = rows_of(small, run=tmp_path / "two", batch_size=3, gpus="2")
    assert two[0]["train_loss"] == pytest.approx(one[0]["train_loss"], rel=1e-3)


def test_one_rank_under_torchrun_speaks_nccl(small: dict[str, Any], tmp_path: Path) -> None:
    """The process group, DDP and the compiled DDP of a cluster's ranks, as far as one GPU shows them."""
    small |= {"gpus": "1", "model": "vgg16", "num_epochs": 1, "precision": "fp32", "decoder": "cpu"}
    alone = rows_of(small, run=tmp_path / "alone", compile=False)
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1", "-m", "tsn", "train"]
    folder = small.pop("run")
    where = os.environ | {"TSN_TRAIN_RUN": str(folder), "NCCL_DEBUG": "VERSION"}
    done = subprocess.run([*words, *flags(small)], cwd=ROOT, env=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "NCCL version" in done.stdout + done.stderr
    assert "compiled in " in done.stderr
    assert close(history(folder), alone)


def pair(data: DataSettings, run: Path) -> dict[str, Any]:
    """Return the settings of two ranks that share the GPU."""
    two = {"model": "vgg16", "precision": "fp32", "batch_size": 3, "gpus": "2", "compile": False, "decoder": "cpu"}
    return small_settings(data, run) | two


def close(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> bool:
    """Whether losses differ by no more than the order of sums in fp32 explains."""
    return all(
        row[column] == pytest.approx(other[column], rel=1e-4)
        for row, other in zip(rows, others, strict=True)
        for column in ("train_loss", "val_loss")
    )


@pytest.fixture
def _one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSN_TEST_ONE_GPU", "1")


@pytest.mark.usefixtures("_one_gpu")
def test_two_ranks_on_one_gpu_compute_what_one_does_also_when_they_go_on(data: DataSettings, tmp_path: Path) -> None:
    one = rows_of(pair(data, tmp_path / "one"), batch_size=6, gpus="1")
    assert close(rows_of(pair(data, tmp_path / "two"), num_epochs=1), one[:1])
    train(TrainSettings(resume=str(tmp_path / "two"), num_epochs=2), frozenset({"num_epochs"}))
    assert close(history(tmp_path / "two"), one)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_gpu")
def test_two_ranks_on_one_gpu_survive_a_dead_one(data: DataSettings, tmp_path: Path) -> None:
    one = rows_of(pair(data, tmp_path / "one"), batch_size=6, gpus="1")
    process = start(command(pair(data, tmp_path / "run") | {"save_every": 1}))
    at_step(tmp_path / "run", 1)
    os.kill(ranks_of(process.pid)[1], signal.SIGKILL)
    said = finish(process)
    assert said.count("a rank died: restart 1 of 3, from the last checkpoint") == 1
    assert close(history(tmp_path / "run"), one)
