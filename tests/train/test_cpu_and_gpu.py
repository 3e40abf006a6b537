"""What must hold wherever a network is trained; on the CPU, where quicker tests say the same, as a rehearsal."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tsn.cli import tsn

DEVICES = [
    pytest.param("0", id="cpu", marks=pytest.mark.slow),
    pytest.param("1", id="gpu", marks=pytest.mark.needs_cuda),
]


def call(command: str, *words: object, **options: object) -> str:
    """Run a command of tsn in this process and return its standard output."""
    flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    done = CliRunner().invoke(tsn, [command, *map(str, words), *flags], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def rows_of(run: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(str(run)) / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("gpus", DEVICES)
def test_evaluation_gives_the_figures_of_the_best_epoch(small: dict[str, object], gpus: str) -> None:
    call("train", "--no-compile", **small | {"gpus": gpus})
    best = max(rows_of(small["run"]), key=lambda row: float(row["val_top1"]))
    scores = json.loads(call("evaluate", small["run"], "--json", gpus=gpus))
    assert scores["top1"] == best["val_top1"]
    assert scores["loss"] == pytest.approx(best["val_loss"], rel=1e-5)


@pytest.mark.parametrize("gpus", DEVICES)
def test_losses_in_bf16_follow_those_in_fp32(small: dict[str, object], tmp_path: Path, gpus: str) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        options = {"gpus": gpus, "precision": precision, "run": tmp_path / precision, "lr": 0.002}
        call("train", "--no-compile", **small | options)
        losses[precision] = [row["train_loss"] for row in rows_of(tmp_path / precision)]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)


@pytest.mark.parametrize("gpus", DEVICES)
def test_a_resumed_run_goes_on_where_it_stopped(small: dict[str, object], tmp_path: Path, gpus: str) -> None:
    """On the CPU to the bit, which other tests hold; on a GPU as near as its kernels repeat themselves."""
    options = small | {"gpus": gpus, "precision": "fp32", "lr": 0.002}
    call("train", "--no-compile", **options)
    part = tmp_path / "part"
    call("train", "--no-compile", **options | {"run": part, "num_epochs": 1})
    call("train", "--no-compile", resume=part, gpus=gpus, num_epochs=2)
    whole, resumed = rows_of(small["run"]), rows_of(part)
    assert [row["step"] for row in resumed] == [row["step"] for row in whole]
    assert [row["train_loss"] for row in resumed] == pytest.approx([row["train_loss"] for row in whole], rel=0.02)
