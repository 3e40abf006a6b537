"""Two of one command into one place: the second says so before it does anything that takes long."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tsn.train.answers.compare import compare
from tsn.train.answers.evaluate import evaluate_runs
from tsn.train.answers.export import export
from tsn.train.answers.features import write_features
from tsn.train.answers.passes import run_pass
from tsn.train.answers.predict import predict_videos
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.files import alone, locked
from tsn.tsn_shared.settings import ScoreSettings, SplitScoreSettings

CPU: Any = {"gpus": "0"}


def never(*_: object, **__: object) -> None:
    pytest.fail("it began")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("f.h5", lambda run, out, _: write_features(run, out, SplitScoreSettings(**CPU))),
        ("m.onnx", lambda run, out, _: export(run, out)),
        ("m.pt2", lambda run, out, _: export(run, out)),
        ("c.png", lambda run, out, _: compare([run], out)),
        ("p.png", lambda run, out, video: predict_videos(run, [video], ScoreSettings(**CPU), png=out)),
        ("a.jsonl", lambda run, out, video: predict_videos(run, [video], ScoreSettings(**CPU), out=out)),
    ],
)
def test_a_file_that_another_command_is_writing_is_refused(
    trained_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    command: Callable[[Path, Path, Path], object],
) -> None:
    monkeypatch.setattr("tsn.train.answers.features.run_pass", never)
    monkeypatch.setattr("tsn.train.answers.predict.answer_videos", never)
    monkeypatch.setattr("torch.export.export", never)
    (tmp_path / "video.avi").touch()
    with alone(tmp_path / name, "-"), pytest.raises(SettingsError, match="is being written by another tsn: wait"):
        command(trained_run, tmp_path / name, tmp_path / "video.avi")
    assert not (tmp_path / name).exists()


def test_a_folder_of_an_evaluation_or_of_pictures_that_is_in_use_is_refused(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsn.train.answers.evaluate.run_pass", never)
    monkeypatch.setattr("tsn.train.answers.predict.answer_videos", never)
    own = trained_run / "evaluation" / "split1-val-3"
    for held, out in ((own, None), (tmp_path / "out", tmp_path / "out")):
        with locked(held, "-"), pytest.raises(SettingsError, match="is in use by another evaluation: wait for it, or"):
            evaluate_runs([trained_run], SplitScoreSettings(**CPU), out=out)
    (tmp_path / "video.avi").touch()
    with locked(tmp_path / "pictures", "-"), pytest.raises(SettingsError, match="pictures is in use by another tsn"):
        predict_videos(trained_run, [tmp_path / "video.avi"], ScoreSettings(**CPU), png=tmp_path / "pictures")


def test_fused_runs_hold_their_folder_as_well(trained_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with locked(out, "-"), pytest.raises(SettingsError, match="is in use by another evaluation"):
        evaluate_runs([trained_run, trained_run], SplitScoreSettings(**CPU), fused=True, out=out)
    assert not out.exists()


def test_an_evaluation_holds_its_folder_until_its_files_are_there(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, refused = tmp_path / "out", []

    def score_beside_another(*words: Any) -> Any:
        with pytest.raises(SettingsError) as raised, locked(out, "busy"):
            pass
        refused.append(raised.value)
        return run_pass(*words)

    monkeypatch.setattr("tsn.train.answers.evaluate.run_pass", score_beside_another)
    evaluate_runs([trained_run], SplitScoreSettings(**CPU), out=out)
    assert len(refused) == 1
    wanted = ["confusion.png", "per_class.png", "predictions.csv", "probabilities.h5", "scores.json"]
    assert sorted(path.name for path in out.iterdir()) == wanted
