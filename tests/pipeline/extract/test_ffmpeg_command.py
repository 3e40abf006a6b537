"""The commands: what ffmpeg is given to open, and that no name or setting of a video gets into them."""

import subprocess
from itertools import pairwise

import imageio_ffmpeg
import pytest

from tsn.pipeline.extract.ffmpeg_command import CONTAINERS, MARK, FrameSettings, frames_command, stage_command

SIZED = FrameSettings(size=(340, 256), quality=2)


def values(command: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(command) if name == option]


@pytest.mark.parametrize("count", [1, 2, 16])
def test_videos_are_open_files_in_their_order_and_nothing_else_may_be_opened(count: int) -> None:
    videos = list(range(40, 40 + count))
    command = frames_command(videos, 7, SIZED)
    assert values(command, "-i") == ["fd:"] * count
    assert values(command, "-fd") == [str(video) for video in videos]
    assert values(command, "-protocol_whitelist") == ["fd"] * count
    assert values(command, "-format_whitelist") == [CONTAINERS] * count
    (graph,) = values(command, "-filter_complex")
    assert graph.count("file=pipe\\\\:7") + graph.count("file=pipe\\:7") + graph.count("file=pipe:7") == count
    assert all(f"key={MARK}:mode=add:value={number}" in graph for number in range(count))


def test_descriptors_are_all_that_differs_between_two_commands_of_a_kind() -> None:
    first, second = frames_command([1001, 1002], 1003, SIZED), frames_command([2001, 2002], 2003, SIZED)
    assert [word.replace("1001", "2001").replace("1002", "2002").replace("1003", "2003") for word in first] == second


def test_only_frames_of_a_size_are_scaled_and_only_pictures_stay_as_they_lie() -> None:
    assert "scale=340:256:" in "".join(frames_command([5], 6, SIZED))
    assert "scale=flags=" in "".join(frames_command([5], 6, FrameSettings(size=None, quality=2)))
    assert "scale" not in "".join(stage_command([5], 6, None))
    assert "-noautorotate" in frames_command([5], 6, SIZED, rotated=False)
    assert "-noautorotate" not in frames_command([5], 6, SIZED)


def test_ffmpeg_knows_every_format_that_may_be_opened_and_none_opens_other_files() -> None:
    """A name that is misspelt would be a container that is never read."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-demuxers"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split()[1] for line in listed.splitlines() if line.startswith(" D")]
    known = {name for row in rows for name in row.split(",")}
    allowed = set(CONTAINERS.split(","))
    assert allowed <= known
    assert not allowed & {"concat", "hls", "dash", "image2", "lavfi", "sdp", "rtsp", "imf", "ffmetadata"}
