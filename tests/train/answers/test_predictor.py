"""A run's network that answers from Python: the same numbers for a video, for its frames, and from evaluate."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tsn
from tsn.train.answers.trained import load_trained
from tsn.tsn_shared.errors import DataError, SettingsError

Frames = np.ndarray[Any, np.dtype[np.uint8]]


def frames_of(shape: tuple[int, ...]) -> Frames:
    return np.random.default_rng(0).integers(0, 256, size=(*shape, 3), dtype=np.uint8)


def test_an_answer_names_the_best_classes_and_holds_all_probabilities(trained_run: Path) -> None:
    answer = tsn.Predictor(trained_run, top=2, device="cpu").frames(frames_of((9, 48, 64)))
    assert (answer.frames, answer.video, answer.note) == (9, "", "")
    best = np.sort(answer.probabilities)[::-1]
    assert [guess.score for guess in answer.top] == pytest.approx(best[:2].tolist())
    assert answer.top[0].name == load_trained(trained_run).classes[answer.probabilities.argmax()]


def test_every_protocol_shows_its_frames_and_crops(trained_run: Path) -> None:
    frames = frames_of((30, 48, 64))
    found = [tsn.Predictor(trained_run, protocol=name, device="cpu") for name in ("val", "3crop", "10crop")]
    assert [(each.snippets.segments, each.view.crops) for each in found] == [(3, 1), (25, 3), (25, 10)]
    probabilities = np.stack([each.frames(frames).probabilities for each in found])
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.abs(probabilities[0] - probabilities[2]).max() > 1e-4


def test_what_cannot_be_is_said(trained_run: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="protocol 5crop: there are val, 3crop, 10crop"):
        tsn.Predictor(trained_run, protocol="5crop")
    predictor = tsn.Predictor(trained_run, device="cpu")
    with pytest.raises(SettingsError, match=r"they must be uint8 \(T, H, W, 3\), RGB"):
        predictor.frames(np.zeros((4, 8, 8, 3), np.float32))
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(DataError, match=r"text\.avi: not a video"):
        predictor.video(tmp_path / "text.avi")


def test_the_example_asks_about_videos_and_frames(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = tmp_path / "videos" / "frames", tmp_path / "runs"
    for folder in folders:
        folder.mkdir(parents=True)
    frames = frames_of((4, 48, 64))
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folders[0] / f"{number}.png")
    (tmp_path / "videos" / "text.avi").write_text("no video")
    (tmp_path / "runs" / "a").symlink_to(trained_run)
    np.save(tmp_path / "video.npy", frames)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(Path(__file__).parents[3] / "examples" / "predictor.py"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "frames 4 frames whole"
    assert [line.split()[-1][:6] for line in lines[1:3]] == ["Colour", "Colour"]
    assert lines[3].startswith("no answer: videos/text.avi: not a video")
    assert lines[4].endswith(" (4,)")
