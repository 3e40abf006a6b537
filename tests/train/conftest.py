"""A data set small enough to train on in seconds: four classes of noisy colours, JPEGs written straight to a shard."""

import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.train.runs import STARTED
from tsn.train.fit.checkpoint import load_checkpoint, save_checkpoint
from tsn.train.fit.launch import train
from tsn.tsn_shared.settings import DataSettings, TrainSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.shards import ShardTables, write_shard
from tsn.tsn_shared.splits import Clips, write_split

COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (180, 180, 40))
FRAMES = (4, 7)  # of even and odd videos
TRAIN, TEST = 12, 7


def _jpeg(colour: tuple[int, ...], rng: np.random.Generator) -> bytes:
    noise = rng.integers(-40, 40, size=(48, 64, 3))
    picture = Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def _clips(videos: range, frames: list[int]) -> Clips:
    rows = np.array(videos, dtype=np.int32)
    return Clips(
        label=rows % len(COLOURS),
        shard=np.zeros_like(rows),
        video=rows,
        frames=np.array([frames[video] for video in videos], dtype=np.int32),
    )


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Train these small networks on one thread a process: on more they wait for one another most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """End what a failed test leaves."""
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSettings:
    """Frames and a split 1 of 12 train and 7 test clips."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    videos = TRAIN + TEST
    frames = [FRAMES[video % 2] for video in range(videos)]
    jpegs = [_jpeg(COLOURS[video % len(COLOURS)], rng) for video in range(videos) for _ in range(frames[video])]
    names = tuple(f"Colour{video % len(COLOURS)}/v_{video:02d}" for video in range(videos))
    tables = ShardTables(
        settings={"made": "for the tests"},
        names=names,
        first_frame=np.concatenate([[0], np.cumsum(frames)]),
        width=np.full(videos, 64),
        height=np.full(videos, 48),
        fps=np.full(videos, 25.0),
        notes=("",) * videos,
        offset=np.concatenate([[0], np.cumsum([len(jpeg) for jpeg in jpegs])]),
        crc32=np.array([zlib.crc32(jpeg) for jpeg in jpegs], dtype=np.uint32),
        failures=(),
    )
    shard = folder / "frames-00000.h5"
    write_shard(shard, tables, jpegs)
    write_split(
        folder / "split1.h5",
        source="tests",
        classes=tuple(f"Colour{number}" for number in range(len(COLOURS))),
        shards={shard.name: Shard(shard).sha256},
        clips={"train": _clips(range(TRAIN), frames), "test": _clips(range(TRAIN, videos), frames)},
        names={"train": names[:TRAIN], "test": names[TRAIN:]},
    )
    return DataSettings(frames=folder, splits=folder)


def small_settings(data: DataSettings, run: Path) -> dict[str, Any]:
    """Return settings of a training that takes a second or two."""
    return {
        "frames": data.frames,
        "splits": data.splits,
        "gpus": "0",
        "model": "resnet18",
        "weights": "none",
        "input_size": 32,
        "batch_size": 5,
        "num_epochs": 2,
        "lr": 0.01,
        "run": run,
    }


@pytest.fixture
def small(data: DataSettings, tmp_path: Path) -> dict[str, Any]:
    """Settings of a training that takes a second or two."""
    return small_settings(data, tmp_path / "run")


@pytest.fixture(scope="session")
def trained_run(data: DataSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs; tests only read it, or copy its checkpoint."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    settings = small_settings(data, folder) | {"lr": 0.002, "dropout": 0.0}
    train(TrainSettings(**settings), frozenset())
    return folder


@pytest.fixture
def changed_run(trained_run: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a run folder like `trained_run`, with other settings, state or weights."""

    def make(name: str, *, noise: float = 0.0, settings: dict[str, object] | None = None, **state: object) -> Path:
        found = load_checkpoint(trained_run / "checkpoints" / "best.pt")
        found["settings"] |= settings or {}
        generator = torch.Generator().manual_seed(len(name))
        for key in ("backbone.fc.1.weight", "backbone.fc.1.bias"):
            value = found["model"][key]
            found["model"][key] = value + noise * torch.randn(value.shape, generator=generator)
        save_checkpoint(tmp_path / name / "checkpoints", found | state, best=True)
        return tmp_path / name

    return make
