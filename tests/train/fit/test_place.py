"""Where a run is, and whether it goes on: without training any."""

from dataclasses import replace
from pathlib import Path

import pytest

from tsn.train.data import split_facts
from tsn.train.fit.folder import Config, RunFolder
from tsn.train.fit.place import RunPlace, completed_place, explained, place_run
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.normalisation import MEAN
from tsn.tsn_shared.settings import DataSettings, TrainSettings
from tsn.tsn_shared.splits import open_split

NOTHING: frozenset[str] = frozenset()


@pytest.fixture
def settings(data: DataSettings, tmp_path: Path) -> TrainSettings:
    return TrainSettings(frames=data.frames, splits=data.splits, lr=0.5, run=tmp_path / "run")


@pytest.fixture
def begun(settings: TrainSettings, tmp_path: Path) -> Path:
    """The folder of a run that has begun."""
    facts = split_facts(open_split(settings))
    RunFolder(tmp_path / "run", writes=True).write_config(Config(settings=settings, split=facts, base=None))
    return tmp_path / "run"


def test_a_new_run_is_where_the_settings_say_and_nothing_is_written(settings: TrainSettings, tmp_path: Path) -> None:
    for resume in (None, "auto"):
        place = place_run(replace(settings, resume=resume), NOTHING)
        assert (place.folder, place.resume) == (tmp_path / "run", False)
    assert list(tmp_path.iterdir()) == []


def test_a_run_goes_on_with_its_own_settings_and_those_that_may_change(begun: Path, settings: TrainSettings) -> None:
    asked = TrainSettings(resume=str(begun), num_epochs=7, lr=0.001)  # the rate is a default that nobody stated
    kept = replace(settings, num_epochs=7, run=begun)
    assert place_run(asked, frozenset({"num_epochs"})) == RunPlace(settings=kept, folder=begun, resume=True)
    with pytest.raises(SettingsError, match=r"--lr was 0\.5, is 0\.001; leave them out, or set another --run"):
        place_run(asked, frozenset({"lr"}))


def test_ranks_that_are_started_again_go_on_without_being_asked(
    begun: Path, settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=f"{begun} holds a run: go on with --resume {begun}"):
        place_run(settings, NOTHING)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert place_run(settings, NOTHING).resume


@pytest.mark.parametrize("kind", ["file", "name", "text"])
def test_what_is_no_folder_for_a_run_is_refused(settings: TrainSettings, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / {"file": "file", "name": "x" * 300, "text": "\udcff"}[kind]
    with pytest.raises(SettingsError, match=r"set another"):
        place_run(replace(settings, run=folder), NOTHING)


def test_a_dry_run_has_no_folder_made_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = place_run(TrainSettings(), NOTHING, dry=True)
    assert (place.folder.parent, place.resume, place.dry) == (Path("runs"), False, True)
    assert list(tmp_path.iterdir()) == []
    places = [place_run(TrainSettings(), NOTHING) for _ in range(2)]
    assert [(place.folder.is_dir(), place.first) for place in places] == [(True, True), (True, False)]


def test_settings_of_a_run_that_goes_on_are_from_the_run_but_for_those_that_are_stated(
    begun: Path, settings: TrainSettings
) -> None:
    origins = {"lr": "default", "num_epochs": "command line", "resume": "command line"}
    asked = TrainSettings(resume=str(begun), num_epochs=7)
    found, where = explained(asked, frozenset({"num_epochs", "resume"}), origins)
    assert (found.lr, found.num_epochs) == (settings.lr, 7)
    assert where == origins | {"lr": f"run {begun}"}
    origins |= {"input_size": "default", "num_segments": "default"}
    whole, where = explained(settings, NOTHING, origins)
    assert (whole.lr, whole.input_size, whole.num_segments) == (0.5, 224, 3)
    assert where == origins  # as for any network
    whole, where = explained(replace(settings, model="resnet18", shift=True), NOTHING, origins)
    assert whole.num_segments == 8
    assert where == origins | {"num_segments": "resnet18's own"}


def test_what_is_open_is_stated_as_a_run_begins_and_never_again(begun: Path, settings: TrainSettings) -> None:
    new = completed_place(RunPlace(settings=settings, folder=begun, resume=False)).settings
    assert (new.num_segments, new.input_size, new.mean) == (3, 224, MEAN)
    old = RunPlace(settings=settings, folder=begun, resume=True)  # of before they were recorded
    assert completed_place(old) == old
