"""The end of a run: its best weights in a file of their own, also where it was killed before, or lost them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tsn.train.fit.checkpoint import BEST, LAST, load_checkpoint, save_checkpoint
from tsn.train.fit.contents import Tally
from tsn.train.fit.launch import train
from tsn.tsn_shared.settings import TrainSettings


class Killed(BaseException):
    """Ends a run where it stands, as SIGKILL would."""


def run(small: dict[str, Any], given: frozenset[str] = frozenset(), **changed: Any) -> Path:
    train(TrainSettings(**(small | changed)), given)
    return Path(small["run"])


@pytest.mark.slow
def test_killed_before_its_weights_were_written_a_resume_writes_them(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(small, num_epochs=1)
    state = load_checkpoint(folder / "checkpoints" / LAST)
    state["history"][0]["val_top1"] = 0.0  # whatever comes is better
    save_checkpoint(folder / "checkpoints", state, best=True)
    first = load_file(folder / "model.safetensors")

    def die(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr("tsn.train.fit.weights_file.save_file", die)
    with pytest.raises(Killed):
        run(small, frozenset({"num_epochs"}), resume="auto", num_epochs=2)
    monkeypatch.undo()
    run(small, resume="auto")
    best = load_checkpoint(folder / "checkpoints" / BEST)
    assert (len(state["history"]), len(best["history"])) == (1, 2)
    found = load_file(folder / "model.safetensors")
    assert all(torch.equal(value, best["model"][name]) for name, value in found.items())
    assert not all(torch.equal(value, first[name]) for name, value in found.items())


def test_a_best_that_is_lost_is_said_and_not_replaced_in_silence(small: dict[str, Any]) -> None:
    folder = run(small, num_epochs=1)
    best = folder / "checkpoints" / BEST
    state = load_checkpoint(best)
    state["history"][0]["val_top1"] = 1.0  # nothing after it is better
    save_checkpoint(folder / "checkpoints", state, best=True)
    save_checkpoint(folder / "checkpoints", state | {"tally": vars(Tally(clips=1, hits=1))}, best=False)
    best.unlink()
    run(small, frozenset({"num_epochs"}), resume="auto", num_epochs=2)
    said = (folder / "log.txt").read_text()
    assert f"warning: {best} does not exist: model.safetensors holds the weights of the last epoch" in said
