"""The loaders that training opens serve the clips of the global rank."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from tests.train.conftest import TEST, TRAIN
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import TrainSchedule
from tsn.train.loaders import choose_decoder, open_train_loader, open_val_loader
from tsn.train.ranks.group import Ranks
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import DataSettings, TrainSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.splits import open_split
from tsn.tsn_shared.views import VIEWS, Snippets

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
    wanted = TrainSchedule(num_clips=TRAIN, batch_size=3, seed=5, rank=2, world_size=4, start=12).batch(0)
    assert batch.plan.rows.tolist() == wanted.rows.tolist()


@pytest.mark.parametrize(("view", "crops"), [("val", 1), ("3crop", 3), ("10crop", 10)])
def test_views_of_the_test_clips_have_their_crops(data: DataSettings, view: str, crops: int) -> None:
    reader = FrameReader(open_split(data), "test", data.frames, view=VIEWS[view], snippets=Snippets(segments=5))
    with open_val_loader(reader, TrainSettings(input_size=32), second_machine(), batch_size=1) as loader:
        wanted = loader.one_pass()
        batches = list(wanted.batches)
    assert (wanted.steps, wanted.clips) == (-(-TEST // 4), TEST)
    assert [batch.clips.shape for batch in batches] == [(1, 5 * crops, 3, 32, 32)] * wanted.steps
    assert [row for batch in batches for row in batch.plan.rows[batch.plan.valid].tolist()] == [2, 6]


def test_validation_is_ahead_before_it_is_asked_for(data: DataSettings) -> None:
    """While an epoch is trained the next pass's first batches are read, decoded and finished."""
    reader = FrameReader(open_split(data), "test", data.frames, view=VIEWS["val"], snippets=Snippets(segments=2))
    ranks = Ranks(device=torch.device("cpu"))
    with open_val_loader(reader, TrainSettings(input_size=32), ranks, batch_size=3) as loader:
        for _ in range(2):
            begun = time.monotonic()
            while not all(ahead.done() for stage in (loader._batches, loader._encoded) for ahead in stage._ahead):
                assert time.monotonic() - begun < 60
                time.sleep(0.01)
            assert len(list(loader.one_pass().batches)) == -(-TEST // 3)


def chosen(data: DataSettings, *, before: str, **settings: Any) -> tuple[str, str]:
    def pace() -> float:
        raise AssertionError("the CPU decodes, whatever it takes")

    asked = TrainSettings(frames=data.frames, splits=data.splits, input_size=32, **settings)
    cpu = Ranks(device=torch.device("cpu"))
    return choose_decoder(open_split(data), asked, cpu, before=before, pace=pace)


def test_without_a_gpu_the_cpu_decodes_and_another_decoder_is_refused(data: DataSettings) -> None:
    assert chosen(data, before="auto") == ("cpu", "")
    assert chosen(data, before="cpu", decoder="cpu") == ("cpu", "")
    with pytest.raises(SettingsError, match="--decoder engine needs a GPU"):
        chosen(data, before="auto", decoder="engine")


def test_a_run_that_decodes_otherwise_than_before_says_so(data: DataSettings) -> None:
    decoder, words = chosen(data, before="mixed", decoder="mixed")
    assert decoder == "cpu"
    assert words == "frames are decoded by cpu, before it was mixed: pixels differ by up to 5 of 255 from here on"


@pytest.mark.slow
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
            "tsn",
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
