"""The clips that arrive, against an independent reference; the stream over ranks, epochs and restarts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from pipeline.loader import Batch, ClipLoader
from pipeline.reader import CROPS, View
from pipeline.schedule import EvalSchedule, Schedule, TrainSchedule
from tests.pipeline import reference
from tsn_shared.augment import MEAN, STD
from tsn_shared.settings import DataSettings
from tsn_shared.splits import Subset, read_split

SEED = 11
VIEWS: tuple[View, ...] = ("train", "val", "3crop", "10crop")


def subset_of(view: View) -> Subset:
    return "train" if view == "train" else "test"


@contextmanager
def opened(data: DataSettings, schedule: Schedule, *, view: View = "train", **options: Any) -> Iterator[ClipLoader]:
    chosen = {"segments": 3, "input_size": 32, "seed": SEED, "threads": 2} | options
    split = read_split(data.splits / "split1.h5")
    subset = subset_of(view)
    with ClipLoader(split=split, subset=subset, frames=data.frames, schedule=schedule, view=view, **chosen) as loader:
        yield loader


def schedule_of(data: DataSettings, view: View, batch_size: int, **options: Any) -> Schedule:
    clips = len(read_split(data.splits / "split1.h5").subset(subset_of(view)))
    if view == "train":
        return TrainSchedule(num_clips=clips, batch_size=batch_size, seed=SEED, **options)
    return EvalSchedule(num_clips=clips, batch_size=batch_size, **options)


def pixels_of(clips: torch.Tensor) -> npt.NDArray[np.float64]:
    """Undo the normalisation: 0 to 255."""
    std, mean = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (STD, MEAN))
    return ((clips.cpu().double() * std + mean) * 255).numpy()


def check_against_reference(
    data: DataSettings, batch: Batch, *, view: View, segments: int, size: int, worst: float = 1, mean: float = 0.2
) -> None:
    """Plans equal; pixels before normalising within `worst` of 255 everywhere and `mean` on average."""
    path, subset, plan = data.splits / "split1.h5", subset_of(view), batch.plan
    names, means = read_split(path).names(subset, plan.rows), []
    for place, row in enumerate(plan.rows.tolist()):
        how: Any = {"view": view, "segments": segments, "size": size, "seed": SEED, "epoch": 0}
        wanted = reference.clip(data.frames, path, subset, row, **how)
        assert (names[place], int(batch.labels[place])) == (wanted.name, wanted.label)
        assert plan.frame_indices[place].tolist() == wanted.frame_indices
        assert plan.crops[place].tolist() == [list(crop) for crop in wanted.crops]
        assert plan.flips[place].tolist() == wanted.flips
        assert batch.clips[place].shape == wanted.pixels.shape
        off = np.abs(pixels_of(batch.clips[place]) - wanted.pixels)
        assert off.max() <= worst + 1e-3
        means.append(off.mean())
    assert np.mean(means) <= mean


@pytest.mark.parametrize("finish", ["torch", "dali"])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("segments", [1, 3, 8, 25])
def test_clips_are_those_of_the_reference(clips: DataSettings, view: View, segments: int, finish: str) -> None:
    """Videos of 1, 2, 3, 28 and 1,775 frames are among them."""
    batch_size = 7 if segments * CROPS[view] < 75 else 2
    schedule = schedule_of(clips, view, batch_size)
    with opened(clips, schedule, view=view, segments=segments, input_size=224, finish=finish) as loader:
        batch = next(loader)
    assert batch.clips.shape == (batch_size, segments * CROPS[view], 3, 224, 224)
    assert batch.clips.dtype == torch.float32
    check_against_reference(clips, batch, view=view, segments=segments, size=224)


@pytest.mark.parametrize("view", ["val", "3crop", "10crop"])
def test_a_smaller_input_shows_the_same_part_of_the_picture(clips: DataSettings, view: View) -> None:
    with opened(clips, schedule_of(clips, view, 3), view=view, input_size=64) as loader:
        check_against_reference(clips, next(loader), view=view, segments=3, size=64)
