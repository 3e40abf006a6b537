import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from tsn.pipeline import synthetic
from tsn.pipeline.splits.groups import group_of, shared_groups
from tsn.pipeline.splits.lists import read_annotations
from tsn.pipeline.synthetic import CLASSES, make_dataset
from tsn.tsn_shared.errors import TsnError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_dataset(folder, groups=4, clips=2, frames=(4, 7))
    return folder


def decode(path: Path) -> np.ndarray:
    """Return a video's frames, (F, 240, 320, 3) uint8."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], check=True, capture_output=True).stdout
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, 240, 320, 3)


def test_videos_have_the_shape_of_ucf101(made: Path) -> None:
    videos = sorted((made / "UCF-101").rglob("*"))
    names = {f"{c}/v_{c}_g{group:02d}_c{clip:02d}.avi" for c in CLASSES for group in range(1, 5) for clip in (1, 2)}
    assert {str(path.relative_to(made / "UCF-101")) for path in videos if path.is_file()} == names
    path = made / "UCF-101" / sorted(names)[0]
    said = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)], capture_output=True, check=False).stderr
    assert b"mpeg4" in said
    assert b"XVID" in said
    assert b"320x240" in said
    assert b"25 fps" in said


def test_videos_move_and_no_two_are_the_same(made: Path) -> None:
    first_frames = set()
    for path in sorted((made / "UCF-101").rglob("*.avi")):
        frames = decode(path)
        assert 4 <= len(frames) <= 7
        assert np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3)).min() > 0.5, path
        assert frames[0].std() > 10, path  # a picture, not one colour
        first_frames.add(frames[0].tobytes())
    assert len(first_frames) == len(CLASSES) * 8


def test_lists_are_official_and_hold_out_whole_groups(made: Path) -> None:
    lists = made / "ucfTrainTestlist"
    for path in lists.iterdir():
        content = path.read_bytes()
        assert content.count(b"\r\n") == content.count(b"\n") > 0
    assert (lists / "classInd.txt").read_text().startswith("1 BouncingBall\n2 ")
    assert (lists / "trainlist01.txt").read_text().splitlines()[0].endswith("_c01.avi 1")
    assert all(line.endswith(".avi") for line in (lists / "testlist01.txt").read_text().splitlines())
    annotations = read_annotations(lists)
    assert annotations.classes == CLASSES
    assert [split.name for split in annotations.splits] == ["1", "2", "3"]
    tests = []
    for split in annotations.splits:
        train, test = ([clip.name for clip in split.clips[subset]] for subset in ("train", "test"))
        assert shared_groups(train, test) == []
        assert (len(train), len(test)) == (36, 12)
        assert {name.split("/")[0] for name in test} == set(CLASSES)
        tests.append({group_of(name) for name in test})
    assert not tests[0] & tests[1]
    assert not tests[1] & tests[2]
    assert not tests[0] & tests[2]


def test_same_seed_gives_the_same_bytes_and_another_seed_others(made: Path, tmp_path: Path) -> None:
    small: dict[str, Any] = {"classes": CLASSES[:1], "groups": 2, "clips": 2, "frames": (4, 7)}
    clips = [f"UCF-101/{CLASSES[0]}/v_{CLASSES[0]}_g{group:02d}_c{clip:02d}.avi" for group in (1, 2) for clip in (1, 2)]
    make_dataset(tmp_path / "same", **small)
    make_dataset(tmp_path / "other", **small, seed=1)
    for clip in clips:
        assert (tmp_path / "same" / clip).read_bytes() == (made / clip).read_bytes()
        assert (tmp_path / "other" / clip).read_bytes() != (made / clip).read_bytes()
    # a group's look, its colours, is drawn from the seed as well, and shared by its clips
    colours = [[decode(folder / clip).mean(axis=(0, 1, 2)) for clip in clips] for folder in (made, tmp_path / "other")]
    for first, again, second, _ in colours:
        assert np.abs(first - again).max() < 2
        assert np.abs(first - second).max() > 5
    for ours, others in zip(*colours, strict=True):
        assert np.abs(ours - others).max() > 5


def test_what_was_interrupted_goes_on_and_ends_with_the_same_files(tmp_path: Path) -> None:
    small: dict[str, Any] = {"classes": CLASSES[:1], "groups": 2, "clips": 1, "frames": (4, 4)}
    make_dataset(tmp_path, **small)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    drawn, missing = sorted((tmp_path / "UCF-101").rglob("*.avi"))
    missing.unlink()
    (tmp_path / "ucfTrainTestlist" / "testlist01.txt").unlink()
    written = drawn.stat().st_mtime_ns
    make_dataset(tmp_path, **small)
    assert drawn.stat().st_mtime_ns == written
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_failing_ffmpeg_is_named_with_its_video_and_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(synthetic._PATTERNS, "BouncingBall", "no_such_function({phase})")
    with pytest.raises(TsnError, match=r"v_BouncingBall_g01_c01\.avi: ffmpeg could not draw it: \S+"):
        make_dataset(tmp_path, classes=["BouncingBall"], groups=1, clips=1)
    assert not list(tmp_path.rglob("*.avi*"))
    assert not (tmp_path / "ucfTrainTestlist").exists()


def test_folder_with_an_awkward_name_is_no_matter(tmp_path: Path) -> None:
    folder = tmp_path / "100%03d: it's, [a] \\ folder"
    make_dataset(folder, classes=CLASSES[:1], groups=2, clips=1, frames=(4, 4))
    assert len(decode(next((folder / "UCF-101").rglob("*.avi")).rename(tmp_path / "x.avi"))) == 4
