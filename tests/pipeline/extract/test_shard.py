"""Videos in groups: however they are cut, the shard is the same."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.pipeline.extract import ffmpeg_run, video
from tsn.pipeline.extract import shard as module
from tsn.pipeline.extract.ffmpeg_command import FrameSettings
from tsn.pipeline.extract.shard import MOST_GROUP_BYTES, Extract, ExtractedVideos, ShardJob, make_shard, video_groups
from tsn.pipeline.extract.video import Decoded
from tsn.pipeline.extract.videos import Source
from tsn.pipeline.extract.workers import decoder_threads
from tsn.pipeline.synthetic import CLASSES, VIDEOS, make_dataset
from tsn.tsn_shared.shards import read_tables

FRAMES = FrameSettings(size=(64, 48), quality=5)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, ...]:
    """Whole videos, and among them one without a frame and one that is cut off."""
    folder = tmp_path_factory.mktemp("videos")
    make_dataset(folder, classes=CLASSES[:1], groups=4, clips=3, frames=(3, 9))
    paths = sorted((folder / VIDEOS).rglob("*.avi"))
    paths[4].write_bytes(b"not a video")
    data = paths[9].read_bytes()
    paths[9].write_bytes(data[: len(data) // 2])
    return tuple(Source(name=path.stem, path=path) for path in paths)


def at_a_time(count: int) -> module.Map:
    def run(extract: Extract, videos: Sequence[Source]) -> Iterator[ExtractedVideos]:
        return (extract(group) for group in video_groups(videos, most=count))

    return run


def test_how_many_videos_an_ffmpeg_takes_changes_no_byte(
    sources: tuple[Source, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = []
    for count, most_files in ((1, 64), (1, 2), (2, 64), (5, 64), (12, 64)):
        monkeypatch.setattr(module, "MOST_FRAME_FILES", most_files)
        path = tmp_path / f"{count}-{most_files}.h5"
        make_shard(ShardJob(path=path, videos=sources, frames=FRAMES, settings={}), at_a_time(count))
        shards.append(path.read_bytes())
    assert len(set(shards)) == 1
    tables = read_tables(path)
    assert tables.names == tuple(source.name for number, source in enumerate(sources) if number not in (4, 9))
    assert [name for name, _ in tables.failures] == [sources[4].name, sources[9].name]


def test_videos_that_failed_are_tried_again_and_the_others_kept(sources: tuple[Source, ...], tmp_path: Path) -> None:
    first, again = tmp_path / "a.h5", tmp_path / "b.h5"
    job = ShardJob(path=first, videos=sources, frames=FRAMES, settings={}, keep=True)
    make_shard(job, at_a_time(4))
    again.write_bytes(first.read_bytes())
    make_shard(ShardJob(path=again, videos=sources, frames=FRAMES, settings={}, keep=True), at_a_time(4))
    assert again.read_bytes() == first.read_bytes()


@given(st.lists(st.integers(0, MOST_GROUP_BYTES), max_size=12), st.integers(1, 5))
def test_groups_hold_every_video_once_in_order_and_are_small(sizes: list[int], most: int) -> None:
    folder = Path("/nowhere")
    videos = [Source(name=str(number), path=folder / str(number)) for number in range(len(sizes))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_file_size", lambda path: sizes[int(path.name)])
        cut = list(video_groups(videos, most=most))
    assert [each for group in cut for each in group] == videos
    for group in cut:
        assert 1 <= len(group) <= most
        assert len(group) == 1 or sum(sizes[int(each.name)] for each in group) <= MOST_GROUP_BYTES


def test_neither_names_nor_titles_change_what_becomes_of_videos(sources: tuple[Source, ...], tmp_path: Path) -> None:
    """What ffmpeg's log would say, in every place where a person can write it."""
    said = (
        "Input stream #1:0 (video): 2 frames decoded Input stream #2:0 (video): 99 frames decoded",
        "Output #0",
        "Stream #0:0: Video: x, 99 fps",
        "x\n[error] y",
        "x\n[info] Input #7, avi",
        "frame:0    pts:0       pts_time:0\nvideo=1\n",
    )
    plain, told = list[Source](), list[Source]()
    for number, words in enumerate(said):
        data = sources[(0, 1, 2, 3, 5, 6)[number]].path
        plain.append(Source(name=str(number), path=data))
        path = tmp_path / f"{words}.avi"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(data), "-c", "copy"]
        subprocess.run([*command, "-metadata", f"title={words}", f"file:{path}"], check=True)
        told.append(Source(name=str(number), path=path))
    shards = []
    for name, videos in (("plain", plain), ("told", told)):
        shards.append(tmp_path / f"{name}.h5")
        make_shard(ShardJob(path=shards[-1], videos=tuple(videos), frames=FRAMES, settings={}), at_a_time(3))
    assert shards[0].read_bytes() == shards[1].read_bytes()
    assert set(read_tables(shards[0]).notes) == {""}


def test_every_decoding_thread_keeps_to_a_core_of_its_own_where_it_has_one() -> None:
    cores = os.sched_getaffinity(0)
    with decoder_threads(len(cores)) as pool:
        kept = list(pool.map(lambda _: os.sched_getaffinity(0), range(50)))
    assert all(len(core) == 1 and core <= cores for core in kept)
    with decoder_threads(len(cores) + 1) as pool:
        assert pool.submit(os.sched_getaffinity, 0).result() == cores
    assert os.sched_getaffinity(0) == cores


def test_a_whole_group_takes_one_ffmpeg_and_any_other_one_a_video_besides(
    sources: tuple[Source, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    def counted(command: list[str], *more: Any) -> Any:
        runs.append(command.count("-i"))
        return running(command, *more)

    running = ffmpeg_run.running
    monkeypatch.setattr(video, "running", counted)
    for start, expected in ((0, [4]), (3, [4, 1, 1, 1, 1]), (8, [1, 1, 1, 1])):  # what is cut off is seen before
        runs.clear()
        extracted = module.extract_videos(sources[start : start + 4], FRAMES, tmp_path)
        with extracted.jpegs as jpegs:
            frames = [size for _, result in extracted.videos if isinstance(result, Decoded) for size in result.sizes]
            assert len(jpegs.read()) == sum(frames)
        assert runs == expected
