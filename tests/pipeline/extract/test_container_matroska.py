"""Matroska and WebM: a segment whose length is not known."""

from pathlib import Path

from tests.pipeline.extract.media import FRAMES, declared_by, ffmpeg


def test_a_matroska_segment_of_unknown_length_declares_its_frames_and_no_end(
    containers: dict[str, Path], tmp_path: Path
) -> None:
    live = ffmpeg("-i", str(containers["mpeg4.mkv"]), "-c", "copy", "-f", "matroska", "-")
    found = declared_by(live, tmp_path / "x.mkv")
    assert (found.end, found.frames) == (None, FRAMES)
