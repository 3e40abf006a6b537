"""Trackers: the real package, off the network."""

import ast
import inspect
import re
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.train.fit.test_reporters import row
from tsn.train.fit.folder import FREE_ON_RESUME, RunFolder
from tsn.train.fit.launch import train
from tsn.train.fit.reporters import open_reporters
from tsn.train.fit.trackers import TRACKERS, Wandb
from tsn.tsn_shared import settings as tsn_settings
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import TrainSettings


def tell(folder: Path, epochs: range, *, of: int) -> bytes:
    """Tell the reporters of a run that has told those before; return what wandb has newly written of it."""
    import wandb

    before = {*folder.rglob("*.wandb")}
    settings, done = TrainSettings(num_epochs=of, track="wandb", lr=0.25), [row(epoch) for epoch in range(epochs.start)]
    with ExitStack() as stack:
        reporters = open_reporters(RunFolder(folder, writes=True), settings, done, stack)
        assert [isinstance(reporter, Wandb) for reporter in reporters] == [False] * 4 + [True]
        for epoch in epochs:
            for reporter in reporters:
                reporter.epoch(row(epoch))
    wandb.teardown()  # ends its service, which has then written everything
    (written,) = {*folder.rglob("*.wandb")} - before
    return written.read_bytes()


def test_wandb_is_told_of_each_epoch_and_of_one_run_where_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "run"
    folder.mkdir()
    first, second = tell(folder, range(2), of=4), tell(folder, range(2, 4), of=4)
    identifier = (folder / "wandb-id.txt").read_text().strip()
    assert {path.stem for path in folder.rglob("*.wandb")} == {f"run-{identifier}"}
    for written in (first, second):
        for words in (b"loss/validation", b"mean_class_accuracy/validation", b"recipe/lr", b"num_epochs"):
            assert words in written
    said = capfd.readouterr()
    assert said.err.count(f"wandb: run {identifier}, offline: `wandb sync {folder}/wandb/offline-run-") == 2
    others = [line for line in said.err.splitlines() if not line.startswith(("epoch ", f"wandb: run {identifier}"))]
    assert (said.out, others) == ("", [])
    assert "wandb: run" in (folder / "log.txt").read_text()


def test_a_key_that_is_no_key_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "short")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(
        SettingsError, match=r"--track wandb: .*: `wandb login` first, or set WANDB_MODE=offline"
    ) as raised:
        Wandb(RunFolder(tmp_path, writes=True), TrainSettings(), [])
    assert "\n" not in str(raised.value)


def test_a_package_that_is_missing_is_one_line_before_torch_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SettingsError, match=r"--track wandb: its package is not installed: pip install '\.\[wandb\]'"):
        train(TrainSettings(gpus="0", track="wandb", run=tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "a b", "../x", "x" * 65, "\0"])
def test_an_identifier_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "wandb-id.txt").write_text(text)
    with pytest.raises(DataError, match=r"wandb-id\.txt holds .* is no run's identifier: remove it"):
        Wandb(RunFolder(tmp_path, writes=True), TrainSettings(), [])


def test_the_guide_adds_another_one_in_twenty_lines() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "finetune.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(class .*?)```", guide, re.S)
    (tracker,) = ast.parse(block).body
    assert isinstance(tracker, ast.ClassDef)
    functions = {
        node.name: [a.arg for a in node.args.args] for node in tracker.body if isinstance(node, ast.FunctionDef)
    }
    assert functions == {
        name: list(inspect.signature(getattr(Wandb, name)).parameters) for name in ("__init__", "epoch", "close")
    }
    assert len(block.splitlines()) <= 20


def test_the_command_offers_the_trackers_that_there_are_and_a_run_may_change_its_own() -> None:
    assert set(TRACKERS) == set(tsn_settings.TRACKERS)
    assert "track" in FREE_ON_RESUME
