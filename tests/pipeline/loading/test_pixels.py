"""What goes together and what does not: types, devices, who resizes."""

import os

import pytest
import torch

from tsn.pipeline.loading.pixels import Pixels, cpu_share, torch_device
from tsn.tsn_shared.errors import SettingsError

CUDA = torch.device("cuda", 1)


def test_torch_resizes_on_the_cpu_unless_dali_is_to_do_it_all() -> None:
    assert Pixels(input_size=32).by_torch
    assert not Pixels(input_size=32, all_dali=True).by_torch
    assert not Pixels(input_size=32, device=CUDA).by_torch
    assert Pixels(input_size=32, device=CUDA).device_id == 1
    assert Pixels(input_size=32).device_id is None


def test_half_clips_are_dalis() -> None:
    assert Pixels(input_size=32, device=CUDA, half=True).half
    with pytest.raises(ValueError, match="half clips are what DALI makes"):
        Pixels(input_size=32, half=True)


def test_ranks_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert Pixels(input_size=32).threads == cpu_share() == cores
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(2 * cores))
    assert cpu_share() == 1


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_device("auto") == torch_device("cpu") == torch.device("cpu")
    with pytest.raises(SettingsError, match="0 GPUs are visible"):
        torch_device("gpu")
