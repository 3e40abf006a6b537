"""What the settings mean on a device, on machines with and without GPUs."""

import pytest
import torch
from torch import nn

from tsn.train.ranks.devices import autocast, channels_last, clips_dtype, compiles, count_gpus, precision_of
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import TrainSettings

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(("asked", "visible", "count"), [("auto", 0, 0), ("auto", 8, 8), ("0", 8, 0), ("2", 8, 2)])
def test_gpus_are_those_asked_for_or_all(monkeypatch: pytest.MonkeyPatch, asked: str, visible: int, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    assert count_gpus(asked) == count


@pytest.mark.parametrize(
    ("asked", "words"), [("3", "2 GPUs are visible to torch: use --gpus 2"), ("some", "it takes a number of GPUs")]
)
def test_gpus_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch, asked: str, words: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SettingsError, match=words):
        count_gpus(asked)


def test_tests_may_put_several_ranks_on_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("TSN_TEST_ONE_GPU", "1")
    assert count_gpus("2") == 2


def test_a_gpu_takes_bf16_and_compiles_unless_told_otherwise() -> None:
    plain, stated = TrainSettings(), TrainSettings(precision="fp16", compile=False)
    assert [precision_of(plain, device) for device in (CPU, GPU)] == ["fp32", "bf16"]
    assert [compiles(plain, device) for device in (CPU, GPU)] == [False, True]
    assert (precision_of(stated, GPU), compiles(stated, GPU)) == ("fp16", False)
    assert compiles(TrainSettings(compile=True), CPU)


@pytest.mark.parametrize(
    ("precision", "on_cpu", "on_gpu"),
    [
        ("fp32", torch.float32, torch.float32),
        ("bf16", torch.float32, torch.float16),
        ("fp16", torch.float32, torch.float16),
    ],
)
def test_clips_take_half_the_memory_where_a_gpu_halves_them_anyway(
    precision: str, on_cpu: torch.dtype, on_gpu: torch.dtype
) -> None:
    assert (clips_dtype(precision, CPU), clips_dtype(precision, GPU)) == (on_cpu, on_gpu)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_a_network_runs_at_its_precision(precision: str, dtype: torch.dtype) -> None:
    with autocast(precision, CPU):
        assert nn.Linear(3, 2)(torch.randn(1, 3)).dtype == dtype


def test_channels_last_changes_the_layout_and_not_the_answer() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3)).eval()
    frames = torch.randn(2, 3, 16, 16)
    before = model(frames)
    after = channels_last(model)(frames)
    assert torch.allclose(before, after, atol=1e-5)
    assert next(model.parameters()).is_contiguous(memory_format=torch.channels_last)
