"""Videos become a split of frames as those were made that a network learned from."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Dataset
from tsn.train.answers.prediction import Failure
from tsn.train.answers.trained import load_trained
from tsn.train.answers.video_split import SPLIT, sources_of, split_of_videos
from tsn.train.data import StoredFrames
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.settings import DataSettings
from tsn.tsn_shared.splits import open_split


def test_videos_become_frames_of_the_size_and_quality_learned_from(
    dataset: Dataset, trained_run: Path, tmp_path: Path
) -> None:
    videos = sorted(dataset.videos.rglob("*.avi"))[:2]
    (tmp_path / "text.avi").write_text("no video")
    trained = replace(load_trained(trained_run), frames=StoredFrames(size="64x48", quality=5))
    out = tmp_path / "out"
    out.mkdir()
    found = split_of_videos(sources_of([*videos, tmp_path / "text.avi"]), trained, out)
    assert found.names == tuple(sorted(map(str, videos)))
    assert [failure.video for failure in found.failures] == [str(tmp_path / "text.avi")]
    assert isinstance(found.failures[0], Failure)
    (shard,) = found.shards
    assert (set(shard.tables.width), set(shard.tables.height)) == ({64}, {48})
    assert shard.tables.settings["quality"] == 5
    split = open_split(DataSettings(frames=out, splits=out, split=SPLIT))
    assert split.names("test", slice(None)) == found.names
    assert (len(split.train), split.classes) == (0, trained.classes)
    assert split.test.frames.tolist() == found.clips.frames.tolist() == shard.tables.frames.tolist()


def test_folders_are_opened_and_each_video_is_taken_once(dataset: Dataset, tmp_path: Path) -> None:
    folder = next(path for path in sorted(dataset.videos.iterdir()) if path.is_dir())
    inside = sorted(folder.glob("*.avi"))
    assert [source.path for source in sources_of([inside[0], folder])] == inside
    with pytest.raises(DataError, match=r"none\.avi does not exist"):
        sources_of([tmp_path / "none.avi"])
