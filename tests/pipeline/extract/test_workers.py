"""Who makes the shards: in order, bounded, stopped at once, and the same alone as together."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest

from tsn.pipeline.extract.ffmpeg_command import FrameSettings
from tsn.pipeline.extract.shard import ExtractedVideos, ShardJob, make_shard
from tsn.pipeline.extract.video import made_with
from tsn.pipeline.extract.videos import Source, find_videos
from tsn.pipeline.extract.workers import in_order, local_workers, make_shard_alone
from tsn.pipeline.synthetic import CLASSES, VIDEOS, make_dataset
from tsn.tsn_shared.console import Progress
from tsn.tsn_shared.errors import TsnError
from tsn.tsn_shared.shards import read_tables

FRAMES = FrameSettings(size=(64, 48), quality=5)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, ...]:
    folder = tmp_path_factory.mktemp("videos")
    make_dataset(folder, classes=CLASSES[:1], groups=4, clips=2, frames=(3, 9))
    return find_videos(folder / VIDEOS).videos


def job(path: Path, videos: tuple[Source, ...]) -> ShardJob:
    return ShardJob(path=path, videos=videos, frames=FRAMES, settings=dict(made_with()))


def nothing(videos: object) -> ExtractedVideos:
    return ExtractedVideos(videos=tuple((video.name, "") for video in videos), originals={}, jpegs=BytesIO())  # type: ignore[attr-defined]


@pytest.mark.parametrize("most", [1, 3, 16])
def test_results_come_in_the_order_of_the_videos_and_few_are_ahead(most: int) -> None:
    names = [f"{number:02d}" for number in range(23)]
    begun, taken, lead = 0, 0, list[int]()
    lock = threading.Lock()

    def extract(videos: object) -> ExtractedVideos:
        nonlocal begun
        with lock:
            begun += 1
            lead.append(begun - taken)
        time.sleep(0.002)
        return nothing(videos)

    sources = [Source(name=name, path=Path("/nowhere")) for name in names]
    found = []
    with ThreadPoolExecutor(4) as pool:
        for extracted in in_order(pool, extract, sources, most=most, ahead=5):
            found += [name for name, _ in extracted.videos]
            taken += 1
    assert found == names
    assert max(lead) <= 5 + 1  # the one that is being taken


def test_shards_are_the_same_by_threads_and_alone(videos: tuple[Source, ...], tmp_path: Path) -> None:
    expected = make_shard(job(tmp_path / "expected.h5", videos)).read_bytes()
    assert make_shard_alone(job(tmp_path / "alone.h5", videos), 2).read_bytes() == expected
    jobs = [job(tmp_path / f"{number}.h5", videos) for number in range(2)]
    with Progress("extracting", total=16, unit="video") as progress, local_workers(jobs, 2, progress) as submit:
        made = [future.result().read_bytes() for future in [submit(each) for each in jobs]]
    assert made == [expected, expected]
    assert len(read_tables(tmp_path / "alone.h5").names) == len(videos)


def test_a_worker_with_another_encoder_makes_no_shard(videos: tuple[Source, ...], tmp_path: Path) -> None:
    other = ShardJob(
        path=tmp_path / "x.h5", videos=videos, frames=FRAMES, settings=made_with() | {"encoder": "older 1"}
    )
    with pytest.raises(TsnError, match=r"has encoder simplejpeg .*, this run older 1: install the same"):
        make_shard_alone(other, 1)
    assert list(tmp_path.iterdir()) == []


def test_leaving_early_gives_up_what_is_not_finished(videos: tuple[Source, ...], tmp_path: Path) -> None:
    jobs = [job(tmp_path / f"{number}.h5", videos * 20) for number in range(9)]
    begun = time.monotonic()

    def interrupted() -> None:
        with Progress("extracting", total=9, unit="video") as progress, local_workers(jobs, 1, progress) as submit:
            for each in jobs:
                submit(each)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - begun < 30
    assert len(list(tmp_path.glob("*.h5"))) < 9
