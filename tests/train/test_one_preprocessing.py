"""One preprocessing: whichever way a trained network is asked about a clip, it sees the same pixels.

Frames of the stored size give the same numbers from evaluate on shards, predict of a file, predict of an array, .onnx
and .pt2. Frames of another size are scaled to about what extraction stores of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import simplejpeg
import torch
from torch.nn.functional import interpolate

from tests.conftest import Dataset
from tests.pipeline.extract.media import ffmpeg
from tests.train.runs import evaluated
from tsn.pipeline.extract.chosen import decode_chosen
from tsn.pipeline.extract.run import extract_frames
from tsn.pipeline.splits.build import build_splits
from tsn.train.answers.export import export
from tsn.train.answers.predictor import Predictor
from tsn.train.fit.launch import train
from tsn.tsn_shared.settings import ExtractSettings, SplitsSettings, TrainSettings

Frames = np.ndarray[Any, np.dtype[np.uint8]]
Probabilities = np.ndarray[Any, np.dtype[np.float32]]
Ask = Callable[[Frames], Probabilities]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A network that has learned a little, its test clips with evaluate's answers, and the other ways to ask it."""

    predictor: Predictor
    clips: dict[str, tuple[Path, Probabilities]]
    asks: dict[str, Ask]


def trained_on(dataset: Dataset, frames: Path, splits: Path, folder: Path) -> Trained:
    settings = TrainSettings(
        frames=frames,
        splits=splits,
        gpus="0",
        model="resnet18",
        weights="none",
        input_size=48,
        batch_size=6,
        num_epochs=5,
        lr=0.01,
        dropout=0.0,
        run=folder / "run",
    )
    train(settings, frozenset())
    scored = evaluated(folder / "run", gpus="0").scored
    probabilities = scored.values.softmax(dim=1).numpy()
    videos = [next(dataset.videos.glob(f"{name}.*")) for name in scored.names]
    predictor = Predictor(folder / "run", device="cpu")
    for suffix in ("onnx", "pt2"):
        export(folder / "run", folder / f"model.{suffix}")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    program = torch.export.load(folder / "model.pt2").module()
    return Trained(
        predictor=predictor,
        clips=dict(zip(scored.names, zip(videos, probabilities, strict=True), strict=True)),
        asks={
            # a video of three times the segments, whose middles they are
            "array": lambda frames: predictor.frames(np.repeat(frames, 3, axis=0)).probabilities,
            "onnx": lambda frames: np.asarray(session.run(None, {"frames": frames[None]})[0])[0],
            "pt2": lambda frames: program(torch.from_numpy(frames)[None]).detach().numpy()[0],
        },
    )


@pytest.fixture(scope="module")
def scaled(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A network that learned from frames of 340x256."""
    return trained_on(dataset, dataset.frames, dataset.splits, tmp_path_factory.mktemp("scaled"))


@pytest.fixture(scope="module")
def native(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A network that learned from frames as they are."""
    folder = tmp_path_factory.mktemp("native")
    extract_frames(dataset.videos, ExtractSettings(out=folder / "frames", size="native"))
    build_splits(dataset.annotations, SplitsSettings(frames=folder / "frames", out=folder / "splits"))
    return trained_on(dataset, folder / "frames", folder / "splits", folder)


@pytest.fixture
def network(request: pytest.FixtureRequest) -> Trained:
    """The network of the fixture that a test names."""
    found: Trained = request.getfixturevalue(request.param)
    return found


@pytest.mark.slow  # tests/train/answers/test_export.py holds the same of frames that are drawn
@pytest.mark.parametrize("network", ["scaled", "native"], indirect=True)
def test_stored_frames_give_the_same_numbers_in_every_way(network: Trained) -> None:
    predictor, seen = network.predictor, list[Probabilities]()
    for video, wanted in network.clips.values():
        assert np.abs(predictor.video(video).probabilities - wanted).max() < 1e-4
        frames = decode_chosen(video, predictor.stored, predictor.choose).pictures()
        for name, ask in network.asks.items():
            assert np.abs(ask(frames) - wanted).max() < 1e-4, name
        seen.append(wanted)
    assert np.ptp(np.stack(seen), axis=0).max() > 0.2  # another clip's numbers would be seen


def decoded(video: Path, numbers: tuple[int, ...]) -> Frames:
    """Return frames of a video at its own size, as other programs decode them."""
    chosen = "+".join(f"eq(n,{number})" for number in numbers)
    exact = ["-sws_flags", "bicubic+accurate_rnd+full_chroma_int"]  # else ffmpeg's colours are off by 1 or so
    words = ["-i", str(video), "-vf", f"select='{chosen}'", *exact, "-fps_mode", "passthrough"]
    raw = ffmpeg(*words, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1")
    return np.frombuffer(raw, np.uint8).reshape(-1, 240, 320, 3).copy()


def without_loss(video: Path, numbers: tuple[int, ...]) -> Frames:
    """Return frames as extraction scales them, 340x256, before a JPEG loses some of it."""
    chosen = "+".join(f"eq(n,{number})" for number in numbers)
    scaled = "scale=340:256:flags=bilinear:out_color_matrix=bt601:out_range=pc,format=yuv420p"
    words = ["-i", str(video), "-vf", f"select='{chosen}',{scaled}", "-fps_mode", "passthrough"]
    planes = np.frombuffer(ffmpeg(*words, "-f", "rawvideo", "pipe:1"), np.uint8).reshape(-1, 340 * 256 * 3 // 2)
    found = []
    for luma, blue, red in (np.split(each, [340 * 256, 340 * 320]) for each in planes):
        shapes = (luma.reshape(256, 340), blue.reshape(128, 170), red.reshape(128, 170))
        found.append(simplejpeg.decode_jpeg(simplejpeg.encode_jpeg_yuv_planes(*shapes, 100)))
    return np.stack(found)


@pytest.mark.slow
def test_frames_of_another_size_become_about_those_that_are_stored(scaled: Trained) -> None:
    predictor, noise = scaled.predictor, list[float]()
    differences: dict[str, list[float]] = {name: [] for name in scaled.asks}
    for video, wanted in scaled.clips.values():
        found = decode_chosen(video, predictor.stored, predictor.choose)
        frames = decoded(video, found.numbers)
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
        size = predictor.trained.frame_size
        made = interpolate(pixels, size=size, mode="bilinear", antialias=True).permute(0, 2, 3, 1).numpy()
        for one, other in zip(made, without_loss(video, found.numbers), strict=True):
            noise.append(float(((one - other) ** 2).mean()))
        second, best = np.sort(wanted)[-2:]
        for name, ask in scaled.asks.items():
            probabilities = ask(frames)
            differences[name].append(float(np.abs(probabilities - wanted).max()))
            if best - second >= 0.2:
                assert probabilities.argmax() == wanted.argmax(), name
    assert 10 * np.log10(255**2 / max(noise)) >= 40
    for name, each in differences.items():
        assert np.median(each) <= 0.01, name
        assert max(each) > 0  # they are other pixels
