"""Training on a GPU: the numbers of the CPU where they must be the same, and whole runs in every precision."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.runs import history
from train.dropout import philox
from train.launch import train
from train.trainer import NotFiniteError
from tsn_shared.settings import TrainSettings

pytestmark = pytest.mark.needs_cuda


def test_dropout_masks_are_those_of_the_cpu() -> None:
    places, blocks = torch.tensor([[0], [7], [2**33 + 5]]), torch.arange(1000)[None]
    here = philox(places, blocks, seed=2**40 + 3, purpose=2)
    compiled: Any = torch.compile(philox)
    for compute in (philox, compiled):
        there = compute(places.cuda(), blocks.cuda(), seed=2**40 + 3, purpose=2)
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


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("compiled", [True, False])
def test_it_trains_and_goes_on(small: dict[str, Any], precision: str, compiled: bool) -> None:
    rows_of(small, num_epochs=1, precision=precision, compile=compiled)
    train(TrainSettings(resume=str(small["run"]), num_epochs=2), frozenset({"num_epochs"}))
    rows = history(Path(small["run"]))
    assert [row["epoch"] for row in rows] == [0, 1]
    assert rows[0]["train_loss"] == pytest.approx(1.4, abs=0.3)


def test_a_loss_that_is_not_finite_ends_the_run(small: dict[str, Any]) -> None:
    with pytest.raises(NotFiniteError, match=r"at step \d+ \(learning rate 1e\+30\)"):
        rows_of(small, lr=1e30, num_epochs=3)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_compute_what_one_does(small: dict[str, Any], tmp_path: Path) -> None:
    small |= {"model": "vgg16", "num_epochs": 1, "precision": "fp32"}
    one = rows_of(small, run=tmp_path / "one", batch_size=6)
    two = rows_of(small, run=tmp_path / "two", batch_size=3, gpus="2")
    assert two[0]["train_loss"] == pytest.approx(one[0]["train_loss"], rel=1e-3)
