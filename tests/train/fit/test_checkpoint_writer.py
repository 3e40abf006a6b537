"""Checkpoints that leave while training goes on: what is in them, and what happens when they cannot be written."""

from pathlib import Path

import pytest
import torch

from tsn.train.fit.checkpoint import BEST, LAST, PREVIOUS, load_checkpoint
from tsn.train.fit.checkpoint_writer import CheckpointWriter, Snapshot
from tsn.tsn_shared.errors import SettingsError

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)]
NUMBERS = 4_000_000


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_saved_meanwhile_is_the_state_as_it_was_handed_in(tmp_path: Path, device: str) -> None:
    """The weights change at once after `save()`, and again and again while the file is made."""
    weights = torch.zeros(NUMBERS, device=device)
    history = [{"epoch": 0}]
    with CheckpointWriter(tmp_path) as writer:
        for step in range(3):
            weights.fill_(step)
            history[0]["epoch"] = step
            writer.save({"step": step, "model": {"w": weights}, "history": history}, best=step == 1)
            history[0]["epoch"] = -1
            for _ in range(20):
                weights.sub_(1000)
    for name, step in ((LAST, 2), (PREVIOUS, 1), (BEST, 1)):
        found = load_checkpoint(tmp_path / name)
        assert (found["step"], found["history"]) == (step, [{"epoch": step}])
        assert torch.equal(found["model"]["w"], torch.full((NUMBERS,), float(step)))


@pytest.mark.parametrize("device", DEVICES)
def test_a_snapshot_is_equal_and_shares_nothing(device: str) -> None:
    tensor = torch.arange(4.0, device=device, requires_grad=True)
    maps = torch.randn(2, 3, 4, 4, device=device).to(memory_format=torch.channels_last)
    state = {"a": [tensor, {"b": (1, "two", None, tensor)}], "maps": maps, "whole": True}
    snapshot, before = Snapshot(state), maps.cpu().clone()
    with torch.no_grad():
        tensor.zero_()
        maps.zero_()
    found = snapshot.on_host()
    assert found["a"][0].device.type == "cpu"
    assert found["a"][0].tolist() == found["a"][1]["b"][3].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert not found["a"][0].requires_grad
    assert found["a"][1]["b"][:3] == (1, "two", None)
    assert torch.equal(found["maps"], before)
    assert found["maps"].is_contiguous(memory_format=torch.channels_last)
    assert found["whole"] is True


def test_what_goes_wrong_is_told_by_the_next_call_or_by_leaving(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.write_text("a file where a folder should be")
    writer = CheckpointWriter(folder)
    writer.save({"step": 0}, best=False)
    with pytest.raises(SettingsError, match="File exists"):
        writer.save({"step": 1}, best=False)
    with pytest.raises(SettingsError, match="File exists"), CheckpointWriter(folder) as writer:
        writer.save({"step": 0}, best=False)
