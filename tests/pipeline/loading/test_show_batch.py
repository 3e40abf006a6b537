"""What `tsn show-batch` writes, in arrays against the reference and in its picture pixel by pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.pipeline import reference
from tests.pipeline.conftest import TEST, TRAIN
from tsn.pipeline.loading.show_batch import GAP, LINE, show_batch
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.files import alone
from tsn.tsn_shared.normalisation import MEAN, STD
from tsn.tsn_shared.settings import DataSettings, ShowBatchSettings


def shown(data: DataSettings, out: Path, *, batch_size: int = 4, size: int = 112, **changed: Any) -> Path:
    where = {"frames": data.frames, "splits": data.splits, "out": out}
    show_batch(ShowBatchSettings(**(where | changed), batch_size=batch_size, input_size=size, seed=3))
    return out


def arrays(data: DataSettings, out: Path, **how: Any) -> dict[str, Any]:
    with np.load(shown(data, out, **how)) as file:
        return dict(file)


def test_arrays_are_the_clips_of_the_reference(clips: DataSettings, tmp_path: Path) -> None:
    batch = arrays(clips, tmp_path / "batch.npz", epoch=2, step=1, size=224)
    assert list(batch) == ["clips", "labels", "names", "frame_indices", "crops", "flips"]
    assert batch["clips"].dtype == np.float32
    assert batch["clips"].shape == (4, 3, 3, 224, 224)
    for place, name in enumerate(batch["names"]):
        row = int(name[-2:])  # the clips are numbered
        how: Any = {"view": "train", "segments": 3, "size": 224, "seed": 3, "epoch": 2}
        wanted = reference.clip(clips.frames, clips.splits / "split1.h5", "train", row, **how)
        assert name == wanted.name
        assert batch["labels"][place] == wanted.label
        assert batch["frame_indices"][place].tolist() == wanted.frame_indices
        assert tuple(batch["crops"][place]) == wanted.crops[0]
        assert batch["flips"][place] == wanted.flips[0]
        off = np.abs(batch["clips"][place] - wanted.normalised)
        assert off.max() < 1.01 / 255 / min(STD)


def test_ranks_and_steps_of_the_test_clips_show_each_once_and_no_padding(clips: DataSettings, tmp_path: Path) -> None:
    names: list[str] = []
    for step in range(2):
        for rank in range(2):
            how = {"subset": "test", "step": step, "rank": rank, "world_size": 2, "batch_size": 2, "size": 32}
            names += arrays(clips, tmp_path / "batch.npz", **how)["names"].tolist()
    assert len(names) == len(TEST)
    assert len(set(names)) == len(TEST)


def test_steps_of_an_epoch_are_what_training_takes(clips: DataSettings, tmp_path: Path) -> None:
    """Batches roll over: 11 clips at 4 a step are 3 steps in the first epoch, 3 in the second, 2 in the third."""
    stream: list[str] = []
    for epoch, steps in enumerate((3, 3, 3, 2)):
        for step in range(steps):
            stream += arrays(clips, tmp_path / "batch.npz", epoch=epoch, step=step, size=32)["names"].tolist()
        with pytest.raises(SettingsError, match=f"make {steps} steps"):
            shown(clips, tmp_path / "batch.npz", epoch=epoch, step=steps, size=32)
    for epoch in range(4):
        assert len(set(stream[epoch * len(TRAIN) : (epoch + 1) * len(TRAIN)])) == len(TRAIN)


def test_the_picture_holds_the_frames_as_the_network_sees_them(clips: DataSettings, tmp_path: Path) -> None:
    batch = arrays(clips, tmp_path / "batch.npz")
    sheet = np.asarray(Image.open(shown(clips, tmp_path / "batch.png")), dtype=np.float64)
    whole = round(340 * 112 / 256)
    for place, clip in enumerate(batch["clips"]):
        top = GAP + 2 * LINE + place * (112 + 2 * LINE + GAP)
        for segment, frame in enumerate(clip):
            left = GAP + whole + GAP + segment * (112 + GAP)
            drawn = sheet[top : top + 112, left : left + 112]
            wanted = (frame.transpose(1, 2, 0) * STD + MEAN) * 255
            assert np.abs(drawn - wanted).max() < 0.51
        y, x, h, w = (round(edge * 112 / 256) for edge in batch["crops"][place].tolist())
        frame = sheet[top : top + 112, GAP : GAP + whole]
        yellow = (frame == (255, 255, 0)).all(axis=2)
        assert np.argwhere(yellow).min(axis=0).tolist() == [y + 1, x + 1]
        assert np.argwhere(yellow).max(axis=0).tolist() == [y + h - 2, x + w - 2]


def test_many_clips_stand_in_columns(clips: DataSettings, tmp_path: Path) -> None:
    eight, nine = (np.asarray(Image.open(shown(clips, tmp_path / "batch.png", batch_size=count))) for count in (8, 9))
    assert nine.shape[1] > 1.5 * eight.shape[1]
    row = (eight.shape[0] - nine.shape[0]) / 3  # 8 under each other, and 5 beside 4
    left, right = np.split(nine[int(-row) :], [nine.shape[1] // 2], axis=1)
    assert (left < 255).any()
    assert (right == 255).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"out": "batch.jpg"}, "must end in .png or .npz"),
        ({"rank": 2, "world_size": 2}, "the last rank is 1"),
        ({"batch_size": 12}, "a step of 12 clips is more than the 11"),
        ({"subset": "test", "step": 2}, "make 2 steps"),
        ({"subset": "val"}, r"split1\.h5 has no val clips: it has train and test$"),
        ({"epoch": 2**32}, "--epoch 4294967296: it must be less than 4294967296"),
        ({"epoch": 10**20}, "--epoch is a number of too many digits"),
        ({"subset": "test", "batch_size": 10**6}, r"more than the 4 that are shown: lower --batch-size"),
        ({"subset": "test", "batch_size": 10**9}, "it must be at most 1000000"),
        ({"subset": "test", "num_segments": 10**4}, r"more than the 4 that are shown: lower --batch-size, --num-seg"),
        ({"size": 16_384}, r"more than the 4 that are shown: .* or --input-size"),
        ({"batch_size": 10**400}, "--batch-size is a number of too many digits"),
        ({"rank": 10**9, "world_size": 10**10}, "a step of"),
        ({"subset": "test", "rank": 10**9, "world_size": 10**10}, "no clip left for it, only padding"),
        ({"step": 10**9}, "make 3 steps"),
        ({"subset": "test", "batch_size": len(TEST), "rank": 1, "world_size": 2}, "no clip left for it, only padding"),
        ({"out": "file/batch.png"}, "cannot be written: File exists: set another --out"),
    ],
)
def test_what_does_not_exist_is_refused(
    clips: DataSettings, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    out = tmp_path / changed.pop("out", "batch.npz")
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=message):
        shown(clips, out, **changed)
    assert not out.exists()


@pytest.mark.parametrize("name", ["batch.png", "batch.npz"])
def test_a_file_that_another_is_writing_is_refused(clips: DataSettings, tmp_path: Path, name: str) -> None:
    with alone(tmp_path / name, "-"), pytest.raises(SettingsError, match="is being written by another tsn"):
        shown(clips, tmp_path / name)
    assert not (tmp_path / name).exists()
