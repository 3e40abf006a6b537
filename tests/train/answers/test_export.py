"""Exported files: the numbers of predict, free sizes, metadata, and the examples that ask them."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner

from tests.train.answers.colours import colour_video
from tests.train.runs import evaluated
from tsn.cli import tsn
from tsn.pipeline.jpeg import decode_jpeg
from tsn.pipeline.loading.reader import FrameReader
from tsn.train.answers.export import METADATA, ExportedFacts, export
from tsn.train.answers.predict import predict
from tsn.train.answers.predictor import Predictor
from tsn.train.answers.trained import load_trained
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import DataSettings
from tsn.tsn_shared.splits import open_split
from tsn.tsn_shared.views import VIEWS, Snippets

ROOT = Path(__file__).parents[3]
Frames = np.ndarray[Any, np.dtype[np.uint8]]


@pytest.fixture(scope="module")
def exported(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run as .onnx and .pt2."""
    folder = tmp_path_factory.mktemp("exported")
    files = {suffix: folder / f"model.{suffix}" for suffix in ("onnx", "pt2")}
    for path in files.values():
        export(trained_run, path)
    return files


def asked(exported: dict[str, Path], suffix: str, frames: Frames) -> Frames:
    if suffix == "onnx":
        session = onnxruntime.InferenceSession(str(exported["onnx"]))
        return np.asarray(session.run(None, {"frames": frames})[0])
    program = torch.export.load(exported["pt2"])
    return np.asarray(program.module()(torch.from_numpy(frames)).detach().numpy())


@pytest.mark.parametrize("suffix", ["onnx", "pt2"])
@pytest.mark.parametrize("shape", [(1, 3, 48, 64), (4, 3, 48, 64), (2, 1, 48, 64), (2, 5, 90, 71)])
def test_a_file_gives_the_numbers_of_predict(
    trained_run: Path, exported: dict[str, Path], suffix: str, shape: tuple[int, ...]
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, size=(*shape, 3), dtype=np.uint8)
    model = load_trained(trained_run)
    # a video of S * k frames whose segments' middles are the S frames
    wanted = [predict(model, np.repeat(clip, 3, axis=0), num_segments=shape[1]) for clip in frames]
    found = asked(exported, suffix, frames)
    assert found.shape == (shape[0], 4)
    assert np.abs(found - wanted).max() < 1e-4
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)


def test_every_way_to_ask_gives_the_numbers_of_evaluate(
    data: DataSettings, trained_run: Path, exported: dict[str, Path], tmp_path: Path
) -> None:
    """Of frames as they are stored; tests/train/test_one_preprocessing.py has those of other sizes."""
    scored = evaluated(trained_run, gpus="0").scored
    reader = FrameReader(open_split(data), "test", data.frames, view=VIEWS["val"], snippets=Snippets(segments=3))
    predictor = Predictor(trained_run, device="cpu")
    for row, wanted in enumerate(scored.values.softmax(dim=1).numpy()):
        folder = tmp_path / str(row)
        folder.mkdir()
        jpegs = [reader.jpeg(row, frame) for frame in range(int(reader.clips.frames[row]))]
        for frame, jpeg in enumerate(jpegs):
            (folder / f"{frame}.jpg").write_bytes(jpeg.tobytes())
        frames = np.stack([decode_jpeg(jpeg) for jpeg in jpegs])
        shown = frames[predictor.choose(len(frames))][None]
        found = [asked(exported, suffix, shown)[0] for suffix in exported]
        found += [predictor.frames(frames).probabilities, predictor.video(folder).probabilities]
        assert np.abs(np.stack(found) - wanted).max() < 1e-4


@pytest.mark.slow
def test_a_run_on_native_frames_gives_a_file_for_frames_of_any_size(
    changed_run: Callable[..., Path], tmp_path: Path
) -> None:
    run, path = changed_run("native", frames={"size": "native", "quality": 2}), tmp_path / "model.pt2"
    assert export(run, path).frame_size == "native"
    predictor = Predictor(run, device="cpu")
    for height, width in ((48, 64), (91, 70)):
        frames = np.random.default_rng(0).integers(0, 256, size=(1, 3, height, width, 3), dtype=np.uint8)
        assert np.abs(asked({"pt2": path}, "pt2", frames) - predictor.scores(frames)).max() < 1e-4
    unstated = changed_run("unstated", frames={"size": "native", "quality": None})
    with pytest.raises(SettingsError, match="does not state the size of its frames: say --size"):
        export(unstated, path)


def test_the_metadata_name_classes_and_protocol(exported: dict[str, Path]) -> None:
    extra = {METADATA: ""}
    torch.export.load(exported["pt2"], extra_files=extra)
    of_onnx = onnxruntime.InferenceSession(str(exported["onnx"])).get_modelmeta().custom_metadata_map
    assert json.loads(extra[METADATA]) == of_onnx
    assert json.loads(of_onnx["classes"]) == ["Colour0", "Colour1", "Colour2", "Colour3"]
    assert (of_onnx["protocol"], of_onnx["num_segments"], of_onnx["frame_size"]) == ("val", "3", "64x48")
    assert of_onnx["split"] == "1"


def test_the_onnx_file_is_whole_and_of_a_current_opset(exported: dict[str, Path]) -> None:
    model = onnx.load(str(exported["onnx"]))
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import if not entry.domain] == [23]
    assert [axis.dim_param for axis in model.graph.input[0].type.tensor_type.shape.dim[:2]] == ["batch", "segments"]


def test_the_metadata_are_texts_and_keep_their_names() -> None:
    facts = ExportedFacts(
        classes=("a", "b"), num_segments=3, frame_size="64x48", input_size=32, model="resnet18", split="1", tsn="0.1"
    ).plain()
    assert list(facts) == [
        *("classes", "protocol", "num_segments", "sampling", "input", "output"),
        *("frame_size", "input_size", "model", "split", "tsn"),
    ]
    assert set(map(type, facts.values())) == {str}
    assert json.loads(facts["classes"]) == ["a", "b"]
    assert (facts["num_segments"], facts["input_size"]) == ("3", "32")


def test_a_name_of_another_kind_is_refused_and_nothing_is_left(trained_run: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(tsn, ["export", str(trained_run), str(tmp_path / "model.bin")])
    assert isinstance(done.exception, SettingsError)
    assert list(tmp_path.iterdir()) == []


def test_without_the_packages_a_line_says_what_to_install(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SettingsError, match=r"needs onnxscript: pip install '\.\[export\]'"):
        export(trained_run, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_example_of_a_video_gives_what_predict_gives(
    trained_run: Path,
    exported: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    video = colour_video(tmp_path / "a.avi", ("red", 1), ("blue", 1))
    (tmp_path / "model.onnx").symlink_to(exported["onnx"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["onnx_video.py", str(video)])
    runpy.run_path(str(ROOT / "examples" / "onnx_video.py"))
    found = {
        name: float(share.rstrip("%")) / 100 for share, name in map(str.split, capsys.readouterr().out.splitlines())
    }
    wanted = Predictor(load_trained(trained_run)).video(video)
    assert found == pytest.approx({guess.name: guess.score for guess in wanted.top}, abs=5e-3)


@pytest.mark.parametrize("name", ["onnx_runtime", "torch_export", "predict_array"])
def test_the_examples_give_the_answers_of_predict(
    trained_run: Path,
    exported: dict[str, Path],
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    frames = np.random.default_rng(1).integers(0, 256, size=(2, 3, 48, 64, 3), dtype=np.uint8)
    np.save(tmp_path / "frames.npy", frames)
    np.save(tmp_path / "video.npy", frames[0])
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").symlink_to(trained_run)
    for path in exported.values():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"))
    model = load_trained(trained_run)
    of_video = name == "predict_array"
    clips = frames[:1] if of_video else frames
    wanted = [predict(model, clip if of_video else np.repeat(clip, 3, axis=0)) for clip in clips]
    assert capsys.readouterr().out.splitlines() == [f"{model.classes[p.argmax()]} {p.max():.1%}" for p in wanted]
