from pathlib import Path

import click
import pytest

from benchmarks.extract import jpegs_of, sound
from tsn.pipeline.synthetic import CLASSES, VIDEOS, make_dataset


def test_a_video_that_fails_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_dataset(tmp_path, classes=CLASSES[:1], groups=1, clips=1, frames=(5, 5))
    good, bad = next((tmp_path / VIDEOS).rglob("*.avi")), tmp_path / "bad.avi"
    bad.write_bytes(b"nothing")
    assert sound([bad, good], tmp_path / "out") == [good]
    assert f"left out, {bad}: not a video" in capsys.readouterr().err
    assert list(jpegs_of(tmp_path / "out")) == [1]
    with pytest.raises(click.ClickException, match="no video is left"):
        sound([bad], tmp_path / "out")
