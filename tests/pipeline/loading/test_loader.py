"""The clips that arrive, against an independent reference; the stream over ranks, epochs and restarts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.pipeline import reference
from tests.pipeline.conftest import TEST, TRAIN
from tsn.pipeline.loading.loader import Batch, ClipLoader, EvalLoader, train_clips
from tsn.pipeline.loading.pixels import Pixels
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import EvalSchedule, GlobalBatchSlice, Schedule, TrainSchedule, first_step
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.normalisation import MEAN, STD
from tsn.tsn_shared.settings import DataSettings, LoaderSettings
from tsn.tsn_shared.splits import Subset, read_split
from tsn.tsn_shared.views import VIEWS, Snippets

SEED = 11


def subset_of(view: str) -> Subset:
    return "train" if view == "train" else "test"


@contextmanager
def opened(data: DataSettings, schedule: Schedule, *, view: str = "train", **options: Any) -> Iterator[ClipLoader]:
    pixels = Pixels(
        **({"input_size": 32, "threads": 2} | {k: v for k, v in options.items() if k not in ("segments", "seed")})
    )
    reader = reader_of(data, view, segments=options.get("segments", 3), seed=options.get("seed", SEED))
    with ClipLoader(reader, schedule, pixels) as loader:
        yield loader


def reader_of(data: DataSettings, view: str, *, segments: int = 3, seed: int = SEED) -> FrameReader:
    split = read_split(data.splits / "split1.h5")
    return FrameReader(
        split, subset_of(view), data.frames, view=VIEWS[view], snippets=Snippets(segments=segments), seed=seed
    )


def schedule_of(data: DataSettings, view: str, batch_size: int, **options: Any) -> Schedule:
    clips = len(read_split(data.splits / "split1.h5").subset(subset_of(view)))
    if view == "train":
        return TrainSchedule(num_clips=clips, batch_size=batch_size, seed=SEED, **options)
    return EvalSchedule(num_clips=clips, batch_size=batch_size, **options)


def pixels_of(clips: torch.Tensor) -> npt.NDArray[np.float64]:
    """Undo the normalisation: 0 to 255."""
    std, mean = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (STD, MEAN))
    return ((clips.cpu().double() * std + mean) * 255).numpy()


def check_against_reference(
    data: DataSettings, batch: Batch, *, view: str, segments: int, size: int, worst: float = 1, mean: float = 0.2
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


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("segments", "all_dali"),
    [(1, False), (3, False), (8, False), pytest.param(25, False, marks=pytest.mark.slow), (3, True), (8, True)],
)
def test_clips_are_those_of_the_reference(clips: DataSettings, view: str, segments: int, all_dali: bool) -> None:
    """Videos of 1, 2, 3, 28 and 1,775 frames are among them."""
    batch_size = 7 if segments * VIEWS[view].crops < 75 else 2
    schedule = schedule_of(clips, view, batch_size)
    with opened(clips, schedule, view=view, segments=segments, input_size=224, all_dali=all_dali) as loader:
        batch = next(loader)
    assert batch.clips.shape == (batch_size, segments * VIEWS[view].crops, 3, 224, 224)
    assert batch.clips.dtype == torch.float32
    check_against_reference(clips, batch, view=view, segments=segments, size=224)


@pytest.mark.parametrize("view", ["val", "3crop", "10crop"])
def test_a_smaller_input_shows_the_same_part_of_the_picture(clips: DataSettings, view: str) -> None:
    with opened(clips, schedule_of(clips, view, 3), view=view, input_size=64) as loader:
        check_against_reference(clips, next(loader), view=view, segments=3, size=64)


GLOBAL = 24
"""Clips a global batch in the tests of the stream: more than two epochs of the small training set."""


def stream(data: DataSettings, *, world: int = 1, steps: int = 2, start: int = 0, **options: Any) -> list[torch.Tensor]:
    """Return the global batches of all ranks together, (GLOBAL, S, 3, H, W) each."""
    ranks = []
    for rank in range(world):
        schedule = schedule_of(data, "train", GLOBAL // world, rank=rank, world_size=world, start=start)
        with opened(data, schedule, **options) as loader:
            ranks.append([next(loader).clips for _ in range(steps)])
    return [torch.cat(parts) for parts in zip(*ranks, strict=True)]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("world", [2, 3, 4, 8])
def test_any_number_of_ranks_serves_the_same_pixels_bit_for_bit(clips: DataSettings, world: int) -> None:
    assert same(stream(clips, world=world), stream(clips))


def test_threads_change_nothing(clips: DataSettings) -> None:
    assert same(stream(clips, threads=1), stream(clips, threads=5))


def test_a_restart_goes_on_bit_for_bit(clips: DataSettings) -> None:
    whole = stream(clips, steps=4)
    assert same(stream(clips, start=2 * GLOBAL), whole[2:])
    assert not same(whole[:2], whole[2:])


def test_another_seed_gives_other_clips(clips: DataSettings) -> None:
    assert not same(stream(clips, seed=1), stream(clips))


@pytest.mark.parametrize("all_dali", [False, True])
def test_a_batch_that_is_kept_never_changes(clips: DataSettings, all_dali: bool) -> None:
    """Also where only a part of it is kept: memory is used again when nothing shows it any more."""
    with opened(clips, schedule_of(clips, "train", 4), all_dali=all_dali) as loader:
        kept = [next(loader).clips for _ in range(2)]
        part = next(loader).clips[1, 2]
        before = [tensor.clone() for tensor in (*kept, part)]
        for _ in range(8):
            next(loader)
        assert same(before, [*kept, part])
    assert same(before, [*kept, part])


def test_memory_is_used_again(clips: DataSettings) -> None:
    with opened(clips, schedule_of(clips, "train", 4)) as loader:
        places = {next(loader).clips.data_ptr() for _ in range(12)}
    assert len(places) <= 3


def test_the_caller_keeps_its_number_of_torch_threads(clips: DataSettings) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with opened(clips, schedule_of(clips, "train", 4)) as loader:
            next(loader)
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_validation_scores_every_clip_once_with_whatever_batch(clips: DataSettings) -> None:
    for batch_size in (1, 4, 9):
        schedule = EvalSchedule(num_clips=len(TEST), batch_size=batch_size)
        with EvalLoader(reader_of(clips, "val"), schedule, Pixels(input_size=32)) as loader:
            for wanted in (loader.one_pass(), loader.one_pass()):
                scored = [row for batch in wanted.batches for row in rows_of(batch)]
                assert scored == list(range(wanted.clips)) == list(range(len(TEST)))


def rows_of(batch: Batch) -> list[int]:
    rows: list[int] = batch.plan.rows[batch.plan.valid].tolist()
    return rows


def test_the_next_epoch_is_read_before_the_last_one_is_served(clips: DataSettings) -> None:
    """Nothing starts anew at an epoch's end, nor after a validation in between: what comes next lies ready."""
    served = TrainSchedule(num_clips=len(TRAIN), batch_size=4, seed=SEED)
    asked: list[int] = []

    class Recording(TrainSchedule):
        def batch(self, number: int) -> GlobalBatchSlice:
            asked.append(number)
            return super().batch(number)

    last = first_step(1, num_clips=len(TRAIN), clips_per_step=4) - 1
    recording = Recording(num_clips=len(TRAIN), batch_size=4, seed=SEED)
    validation = EvalSchedule(num_clips=len(TEST), batch_size=4)
    with opened(clips, recording) as loader, opened(clips, validation, view="val") as val_loader:
        for number in range(last + 1):
            assert rows_of(next(loader)) == served.batch(number).rows.tolist()
        end = time.monotonic() + 30
        while max(asked) < last + 4:  # asked for by threads, a moment later at most
            assert time.monotonic() < end
            time.sleep(0.01)
        for _ in range(validation.steps):
            next(val_loader)
        assert rows_of(next(loader)) == served.batch(last + 1).rows.tolist()


def test_clips_are_channels_last_without_a_copy(clips: DataSettings) -> None:
    with opened(clips, schedule_of(clips, "train", 4)) as loader:
        flat = next(loader).clips.flatten(0, 1)
    assert flat.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("stated", [{"input_size": 64}, {"mean": (0.5, 0.5, 0.5)}, {"std": (0.5, 0.5, 0.5)}])
def test_settings_and_pixels_that_disagree_are_refused(clips: DataSettings, stated: dict[str, Any]) -> None:
    """Whichever of them was meant, the other would be ignored."""
    split = read_split(clips.splits / "split1.h5")
    settings = LoaderSettings(batch_size=2, **stated)
    with pytest.raises(SettingsError, match=rf"{next(iter(stated))} is .* in the loader's settings and .* in Pixels"):
        train_clips(split, clips.frames, settings, Pixels(input_size=32))
