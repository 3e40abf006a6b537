"""Prediction: the numbers of evaluate for the same videos, and extraction's verdicts for bad ones."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from tests.conftest import Dataset
from tests.train.runs import evaluated
from tsn.cli import tsn
from tsn.train.answers.predict import predict, predict_videos, refuse_failures
from tsn.train.answers.trained import load_trained
from tsn.train.data import stored_frames
from tsn.train.fit.checkpoint import save_checkpoint
from tsn.train.network.model import build_model
from tsn.tsn_shared.errors import DataError, PartialError, SettingsError
from tsn.tsn_shared.settings import ScoreSettings, TrainSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.splits import open_split

CPU: dict[str, Any] = {"gpus": "0"}


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a drawn network of the small data set's three classes, spread enough to differ by clip."""
    folder = tmp_path_factory.mktemp("predict") / "run"
    settings = TrainSettings(frames=dataset.frames, splits=dataset.splits, model="resnet18", input_size=64)
    split = open_split(settings)
    torch.manual_seed(0)
    network = build_model("resnet18", num_classes=len(split.classes), dropout=0.0)
    torch.nn.init.normal_(network.backbone.get_parameter("fc.1.weight"), std=0.2)
    state = {
        "model": network.state_dict(),
        "settings": settings.plain(),
        "classes": list(split.classes),
        "split": "1",
        "history": [],
        "frames": stored_frames(split, settings).plain(),
        "train_sha256": split.train_sha256(),
    }
    save_checkpoint(folder / "checkpoints", state, best=True)
    return folder


def videos_of(dataset: Dataset, names: tuple[str, ...]) -> list[Path]:
    return [next(dataset.videos.glob(f"{name}.*")) for name in names]


@pytest.mark.parametrize(("protocol", "segments"), [("val", None), ("3crop", 4)])
def test_the_numbers_are_those_of_evaluate(dataset: Dataset, run: Path, protocol: str, segments: int | None) -> None:
    scored = evaluated(run, protocol=protocol, num_segments=segments, **CPU).scored
    videos = videos_of(dataset, scored.names)
    result = predict_videos(run, videos, ScoreSettings(protocol=protocol, num_segments=segments, **CPU), top=3)
    classes = load_trained(run).classes
    assert [answer.video for answer in result.answers] == [str(video) for video in videos]
    for answer, logits in zip(result.answers, scored.values, strict=True):
        wanted = dict(zip(classes, logits.softmax(dim=0).tolist(), strict=True))
        assert {guess.name: guess.score for guess in answer.top} == pytest.approx(wanted, abs=1e-5)
        scores = [guess.score for guess in answer.top]
        assert scores == sorted(scores, reverse=True)
    tops = scored.values.softmax(dim=1)[:, 0]
    assert float(tops.max() - tops.min()) > 1e-3  # another clip's numbers would be seen


def frames_of(dataset: Dataset, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    import io

    for path in sorted(dataset.frames.glob("*.h5")):
        shard = Shard(path)
        if name in shard.tables.names:
            video = shard.tables.names.index(name)
            numbers = range(*shard.tables.first_frame[video : video + 2].tolist())
            pictures = [Image.open(io.BytesIO(shard.read(number).tobytes())).convert("RGB") for number in numbers]
            return np.stack([np.asarray(picture) for picture in pictures])
    raise KeyError(name)


def test_an_array_of_the_stored_frames_gives_the_same_numbers(dataset: Dataset, run: Path) -> None:
    scored = evaluated(run, **CPU).scored
    model = load_trained(run)
    for name, logits in zip(scored.names, scored.values, strict=True):
        found = predict(model, frames_of(dataset, name))
        assert found.dtype == np.float32
        assert np.abs(found - logits.softmax(dim=0).numpy()).max() < 1e-5


def test_an_array_of_another_size_is_resized_to_the_frames_size(dataset: Dataset, run: Path) -> None:
    model = load_trained(run)
    frames = frames_of(dataset, evaluated(run, **CPU).scored.names[0])
    assert model.frame_size == frames.shape[1:3] == (256, 340)
    bigger = np.stack([np.asarray(Image.fromarray(f).resize((680, 512), Image.Resampling.BICUBIC)) for f in frames])
    assert np.abs(predict(model, bigger) - predict(model, frames)).max() < 0.02


@pytest.mark.parametrize(
    "frames", [np.zeros((4, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8), np.zeros((0, 8, 8, 3), np.uint8)]
)
def test_an_array_of_another_kind_is_refused(run: Path, frames: Any) -> None:
    with pytest.raises(SettingsError, match=r"they must be uint8 \(T, H, W, 3\), RGB"):
        predict(load_trained(run), frames)


@pytest.fixture
def mixed(dataset: Dataset, tmp_path: Path) -> Path:
    """A folder with a good video, one that is cut off, and one that is no video."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    good = sorted(dataset.videos.rglob("*.avi"))[0]
    shutil.copy(good, folder / "good.avi")
    (folder / "cut.avi").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (folder / "text.avi").write_text("no video")
    return folder


def test_bad_videos_get_extractions_verdict_and_exit_code_3(run: Path, mixed: Path) -> None:
    done = CliRunner().invoke(tsn, ["predict", str(run), str(mixed), "--gpus", "0", "--json"])
    assert isinstance(done.exception, PartialError)
    assert done.exception.exit_code == 3
    assert "2 of 3 videos failed" in str(done.exception)
    result = json.loads(done.stdout)
    assert [Path(answer["video"]).name for answer in result["videos"]] == ["good.avi"]
    reasons = {Path(failure["video"]).name: failure["reason"] for failure in result["failed"]}
    assert set(reasons) == {"cut.avi", "text.avi"}
    assert reasons["cut.avi"].startswith("truncated: the file ends at byte")
    assert f"{mixed / 'cut.avi'}: truncated" in done.stderr


def test_answers_are_told_and_written_in_their_places_and_a_rerun_goes_on(
    run: Path, mixed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.jsonl"
    words = ["predict", str(run), str(mixed), "--gpus", "0", "--top", "1", "--out", str(out)]
    done = CliRunner().invoke(tsn, words)
    assert isinstance(done.exception, PartialError)
    lines = done.stdout.splitlines()
    assert lines[0] == "protocol val (3 segments, centre crop), trained on split 1, 3 videos"
    assert lines[1].startswith(f"{mixed / 'cut.avi'}: failed: truncated")
    assert lines[2].startswith(f"{mixed / 'good.avi'} (")
    assert lines[4].startswith(f"{mixed / 'text.avi'}: failed: not a video")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [Path(row["video"]).name for row in rows] == ["cut.avi", "good.avi", "text.avi"]
    assert [("failed" in row, "top" in row) for row in rows] == [(True, False), (False, True), (True, False)]
    (mixed / "cut.avi").unlink()
    again = CliRunner().invoke(tsn, [*words, "--json"])
    assert f"{out}: 1 answer of 2 there" in again.stderr
    assert [json.loads(again.stdout)[name] for name in ("clips", "videos")] == [0, []]


def test_damage_is_told_beside_the_answer(run: Path, mixed: Path) -> None:
    content = (mixed / "good.avi").read_bytes()
    (mixed / "good.avi").write_bytes(content[:-1])  # of its index
    note = "the file ends 1 bytes before its container says, but no frame is missing"
    done = CliRunner().invoke(tsn, ["predict", str(run), str(mixed / "good.avi"), "--gpus", "0"])
    assert done.exit_code == 0
    assert f"frames; {note})" in done.stdout
    done = CliRunner().invoke(tsn, ["predict", str(run), str(mixed / "good.avi"), "--gpus", "0", "--json"])
    assert json.loads(done.stdout)["videos"][0]["note"] == note


def test_only_bad_videos_are_an_answer_as_well(run: Path, mixed: Path) -> None:
    result = predict_videos(run, [mixed / "text.avi"], ScoreSettings(**CPU))
    assert (result.answers, len(result.failed)) == ((), 1)
    with pytest.raises(PartialError, match=r"^1 of 1 video failed$"):
        refuse_failures(result)


def test_the_text_names_protocol_split_and_videos(run: Path, mixed: Path) -> None:
    told = list[str]()
    predict_videos(run, [mixed / "good.avi"], ScoreSettings(**CPU), top=2, tell=told.append)
    lines = "\n".join(told).splitlines()
    assert lines[0] == "protocol val (3 segments, centre crop), trained on split 1, 1 video"
    assert lines[1].startswith(str(mixed / "good.avi"))
    assert len(lines) == 4
    assert lines[2].split()[0].endswith("%")


def test_png_draws_the_sampled_frames(run: Path, mixed: Path, tmp_path: Path) -> None:
    predict_videos(run, [mixed], ScoreSettings(**CPU), png=tmp_path / "pictures")
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["good.png"]
    asked = ScoreSettings(protocol="10crop", num_segments=7, **CPU)
    predict_videos(run, [mixed / "good.avi"], asked, png=tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width > 600
    with pytest.raises(SettingsError, match="3 videos need a folder"):
        predict_videos(run, [mixed], ScoreSettings(**CPU), png=tmp_path / "one.png")


def test_no_picture_of_an_answer_takes_the_place_of_another(run: Path, mixed: Path, tmp_path: Path) -> None:
    """Not in one command, whatever the videos are called, nor of an earlier one, nor a file of the user's."""
    videos = [tmp_path / name for name in ("a/x.avi", "b/x.avi", "c/x-2.avi", "d/X.avi")]
    for video in videos:
        video.parent.mkdir()
        shutil.copy(mixed / "good.avi", video)
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "x.png").write_text("a user's own")
    result = predict_videos(run, videos, ScoreSettings(**CPU), png=folder)
    drawn = {answer.video: answer.png for answer in result.answers if answer.png}
    assert len({path.name.casefold() for path in drawn.values()}) == 4
    for name, path in drawn.items():
        with Image.open(path) as picture:
            assert picture.info["Source"] == name
    assert {path.name for path in folder.iterdir()} == {"x.png", *(path.name for path in drawn.values())}
    assert (folder / "x.png").read_text() == "a user's own"
    again = predict_videos(run, [videos[1]], ScoreSettings(**CPU), png=folder)  # its own picture is made anew
    assert again.answers[0].png == drawn[str(videos[1])]
    assert len(list(folder.iterdir())) == 5


def test_a_missing_video_is_said_before_anything_is_done(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.avi does not exist"):
        predict_videos(run, [tmp_path / "none.avi"], ScoreSettings(**CPU))
