"""The loaders that training opens serve the clips of the global rank."""

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import torch

from pipeline.reader import View
from pipeline.schedule import TrainSchedule
from tests.train.conftest import TEST, TRAIN
from train.data import open_train_loader, open_val_loader
from train.ranks import Ranks
from tsn_shared.settings import DataSettings, TrainSettings
from tsn_shared.shards import Shard
from tsn_shared.splits import open_split

ROOT = Path(__file__).parents[2]


def second_machine() -> Ranks:
    """The first process of the second of two machines with two processes each."""
    return Ranks(rank=2, world_size=4, local_world_size=2, device=torch.device("cpu"))


def test_the_clips_are_those_of_the_rank_not_of_the_local_rank(data: DataSettings) -> None:
    split = open_split(data)
    settings = TrainSettings(
        frames=data.frames, splits=data.splits, batch_size=3, num_segments=2, input_size=32, seed=5
    )
    with open_train_loader(split, settings, second_machine(), position=12) as loader:
        batch = next(loader)
    wanted = TrainSchedule(num_clips=TRAIN, batch_size=3, seed=5, rank=2, world_size=4, start=12).load(0)
    assert batch.plan.rows.tolist() == wanted.rows.tolist()


@pytest.mark.parametrize(("view", "crops"), [("val", 1), ("3crop", 3), ("10crop", 10)])
def test_views_of_the_test_clips_have_their_crops(data: DataSettings, view: View, crops: int) -> None:
    split = open_split(data)
    loader, loads = open_val_loader(split, data, second_machine(), batch_size=1, segments=5, input_size=32, view=view)
    with loader:
        batches = [next(loader) for _ in range(loads)]
    assert loads == -(-TEST // 4)
    assert [batch.clips.shape for batch in batches] == [(1, 5 * crops, 3, 32, 32)] * loads
    assert [row for batch in batches for row in batch.plan.rows[batch.plan.valid].tolist()] == [2, 6]


def test_damage_ends_training_on_every_rank_with_one_line_and_exit_code_4(data: DataSettings, tmp_path: Path) -> None:
    """One rank meets it, the others wait for that one: all end, at once."""
    folder = tmp_path / "data"
    shutil.copytree(data.frames, folder)
    shard = Shard(folder / "frames-00000.h5")
    with h5py.File(shard.path) as file:
        start = file["jpeg"].id.get_offset()
    with shard.path.open("r+b") as raw:
        for frame in range(*shard.tables.first_frame[3:5].tolist()):  # all of one clip
            raw.seek(start + int(shard.tables.offset[frame]) + 100)
            raw.write(b"damage")
    words = "train --gpus 0 --num-processes 2 --max-restarts 0 --batch-size 3"
    words += " --model resnet18 --weights none --input-size 32"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "cli",
            *words.split(),
            f"--frames={folder}",
            f"--splits={folder}",
            f"--run={tmp_path}/run",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("tsn: ")]
    assert len(told) == 1
    assert f"{shard.path}: damaged data in video Colour3/v_03, frame" in told[0]
    assert "Traceback" not in done.stderr
