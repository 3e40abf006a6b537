"""The one place where training opens the loader."""

from pipeline.loader import ClipLoader
from pipeline.reader import View
from pipeline.schedule import EvalSchedule, TrainSchedule
from train.ranks import Ranks
from tsn_shared.settings import DataSettings
from tsn_shared.splits import Split, read_split, split_name


def open_split(data: DataSettings) -> Split:
    """Read the split that the settings name."""
    return read_split(data.splits / split_name(data.split))


def open_train_loader(
    split: Split,
    data: DataSettings,
    ranks: Ranks,
    *,
    batch_size: int,
    segments: int,
    input_size: int,
    seed: int,
    position: int,
) -> ClipLoader:
    """Open the endless training stream of this rank, `position` clips in, counted over all ranks."""
    schedule = TrainSchedule(
        num_clips=len(split.train),
        batch_size=batch_size,
        seed=seed,
        rank=ranks.rank,
        world_size=ranks.world_size,
        start=position,
    )
    return ClipLoader(
        split=split,
        subset="train",
        frames=data.frames,
        schedule=schedule,
        view="train",
        segments=segments,
        input_size=input_size,
        seed=seed,
        device=ranks.device,
    )


def open_val_loader(
    split: Split,
    data: DataSettings,
    ranks: Ranks,
    *,
    batch_size: int,
    segments: int,
    input_size: int,
    view: View = "val",
) -> tuple[ClipLoader, int]:
    """Open the endless stream of this rank over the test clips, and return how many batches make a pass over them.

    Views: val (middle frames, centre crop), 3crop and 10crop (the test protocols, usually of 25 segments).
    """
    schedule = EvalSchedule(
        num_clips=len(split.test), batch_size=batch_size, rank=ranks.rank, world_size=ranks.world_size
    )
    loader = ClipLoader(
        split=split,
        subset="test",
        frames=data.frames,
        schedule=schedule,
        view=view,
        segments=segments,
        input_size=input_size,
        device=ranks.device,
    )
    return loader, schedule.loads
