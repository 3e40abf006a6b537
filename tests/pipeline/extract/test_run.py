"""The whole command: the same bytes however it is interrupted, and one clear line for whatever goes wrong."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.extract.media import ffmpeg
from tsn.pipeline.extract import originals
from tsn.pipeline.extract.originals import originals_path
from tsn.pipeline.extract.run import FAILURES, extract_frames
from tsn.pipeline.synthetic import CLASSES, VIDEOS, make_dataset
from tsn.pipeline.verify import verify
from tsn.tsn_shared.errors import PartialError, SettingsError, TsnError
from tsn.tsn_shared.files import LOCK, sha256
from tsn.tsn_shared.settings import ExtractSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.shards import find_shards, read_tables

ROOT = Path(__file__).parents[3]
EACH = 4


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 classes of 4 groups of 2 clips."""
    folder = tmp_path_factory.mktemp("videos")
    make_dataset(folder, classes=CLASSES[:2], groups=4, clips=2, frames=(5, 30))
    return folder / VIDEOS


def settings(out: Path, **changed: Any) -> ExtractSettings:
    small: dict[str, Any] = {"out": out, "videos_per_shard": EACH}
    return ExtractSettings(**(small | changed))


def digests(out: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in find_shards(out)}


@pytest.fixture(scope="module")
def quiet(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of one run that nothing disturbed."""
    out = tmp_path_factory.mktemp("quiet") / "frames"
    extract_frames(videos, settings(out))
    return out


def command(videos: Path, out: Path, *more: str) -> list[str]:
    words = ["extract-frames", str(videos), "--out", str(out), "--videos-per-shard", str(EACH)]
    return [sys.executable, "-m", "tsn", *words, *more]


def call(videos: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(videos, out, *more), cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_shards_hold_the_frames_of_their_slice_of_the_sorted_list(quiet: Path, videos: Path) -> None:
    shards = find_shards(quiet)
    assert [path.name for path in shards] == [f"frames-0000{number}.h5" for number in range(4)]
    names = [name for path in shards for name in read_tables(path).names]
    assert names == sorted(str(path.relative_to(videos).with_suffix("")) for path in videos.rglob("*.avi"))
    verify([quiet])
    for path in shards:
        tables = Shard(path).tables
        assert set(tables.width) == {340}
        assert set(tables.height) == {256}
        assert set(tables.fps) == {25.0}


@pytest.mark.parametrize("jobs", [1, 3, 9])
def test_the_number_of_jobs_changes_no_byte(quiet: Path, videos: Path, tmp_path: Path, jobs: int) -> None:
    extract_frames(videos, settings(tmp_path / "frames", jobs=jobs))
    assert digests(tmp_path / "frames") == digests(quiet)


def test_a_second_run_does_nothing_and_says_so(quiet: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in find_shards(quiet)}
    extract_frames(videos, settings(quiet))
    assert "nothing to do, all 4 shards are there" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in find_shards(quiet)} == before


def test_of_one_there_is_no_plural(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "frames"
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.avi").write_bytes(b"nothing")
    for _ in range(2):
        with pytest.raises(PartialError, match=r"^1 of 1 video failed, as "):
            extract_frames(tmp_path / "videos", settings(out))
    assert f"{out}: nothing to do, its shard is there\n" in capsys.readouterr().err
    (tmp_path / "videos/b.avi").write_bytes(next(videos.rglob("*.avi")).read_bytes())
    one = settings(out, videos_per_shard=1, overwrite=True)
    with pytest.raises(PartialError, match=r"^1 of 2 videos failed, as "):
        extract_frames(tmp_path / "videos", one)
    find_shards(out)[1].unlink()
    capsys.readouterr()
    extract_frames(tmp_path / "videos", settings(out, videos_per_shard=1, allow_failed=True))
    assert f"{out}: 1 of 2 shards is there\n" in capsys.readouterr().err


def test_a_shard_that_is_gone_or_damaged_is_made_again(quiet: Path, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    extract_frames(videos, settings(out))
    find_shards(out)[0].unlink()
    with find_shards(out)[1].open("r+b") as file:
        file.truncate(5000)
    extract_frames(videos, settings(out))
    assert digests(out) == digests(quiet)


def test_killed_at_ten_random_moments_the_rerun_gives_the_same_bytes(quiet: Path, videos: Path, tmp_path: Path) -> None:
    out, moments, half_done = tmp_path / "frames", random.Random(7), 0
    out.mkdir()
    for _ in range(10):
        if len(find_shards(out)) == 4:
            for path in find_shards(out):
                path.unlink()
        process = subprocess.Popen(command(videos, out, "--jobs", "1"), cwd=ROOT, stderr=subprocess.DEVNULL)
        begun = time.monotonic()
        while not (out / LOCK).exists() and time.monotonic() - begun < 30:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.7))
        half_done += process.poll() is None
        process.kill()
        process.wait()
        (out / LOCK).unlink(missing_ok=True)
    assert half_done >= 3
    done = call(videos, out)
    assert done.returncode == 0, done.stderr
    assert digests(out) == digests(quiet)
    kept = {originals_path(path).name for path in find_shards(out)}
    assert {path.name for path in out.iterdir()} == {*digests(quiet), *kept}


def test_other_settings_are_refused_with_the_difference(quiet: Path, videos: Path) -> None:
    with pytest.raises(SettingsError, match=r"--quality was 2, is 3.*--overwrite"):
        extract_frames(videos, settings(quiet, quality=3))
    with pytest.raises(SettingsError, match=r"--size was 340x256, is native"):
        extract_frames(videos, settings(quiet, size="native"))
    with pytest.raises(SettingsError, match=r"--videos-per-shard was 4, is 5|shards more than"):
        extract_frames(videos, settings(quiet, videos_per_shard=5))
    with pytest.raises(SettingsError, match=r"00001\.h5 was extracted .*: --videos-per-shard was 4, is 64; --over"):
        extract_frames(videos, settings(quiet, videos_per_shard=64))


def test_other_videos_are_refused_with_the_difference(quiet: Path, videos: Path, tmp_path: Path) -> None:
    there = sorted(videos.rglob("*.avi"))
    for number, path in enumerate([*there[:-1], there[-1].with_name("zz.avi")]):
        target = tmp_path / "videos" / path.relative_to(videos)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(there[number].read_bytes())
    with pytest.raises(SettingsError, match=r"other videos: 1 new \(SpinningFan/zz\)|1 new \(.*zz\) and 1 gone"):
        extract_frames(tmp_path / "videos", settings(quiet))


def test_overwrite_starts_again(videos: Path, quiet: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    extract_frames(videos, settings(out, quality=9))
    extract_frames(videos, settings(out, overwrite=True))
    assert digests(out) == digests(quiet)


@contextmanager
def running(videos: Path, out: Path, *more: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(command(videos, out, "--jobs", "1", *more), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        begun = time.monotonic()
        while not (out / LOCK).exists() and process.poll() is None and time.monotonic() - begun < 30:
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_extraction_into_the_same_folder_is_refused(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    with running(videos, out) as first:
        os.kill(first.pid, signal.SIGSTOP)
        with pytest.raises(SettingsError, match="in use by another extraction"):
            extract_frames(videos, settings(out))
    extract_frames(videos, settings(out))  # the lock of the dead one does not hold


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_two_lines_and_the_rerun_completes(
    videos: Path, quiet: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "frames"
    with running(videos, out) as process:
        time.sleep(0.1)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 130
        assert said.splitlines()[-3:] == [
            f"finished shards are kept in {out}: the same command goes on with the others",
            "",  # a terminal shows ^C there
            "tsn: interrupted",
        ]
        assert "Traceback" not in said
    assert not list(out.glob("*.tmp"))
    assert call(videos, out).returncode == 0
    assert digests(out) == digests(quiet)


def test_failed_videos_are_listed_and_only_they_are_tried_again(
    videos: Path, quiet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied, out = tmp_path / "videos", tmp_path / "frames"
    for path in videos.rglob("*.avi"):
        target = copied / path.relative_to(videos)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    whole = sorted(copied.rglob("*.avi"))
    broken = {whole[1]: b"", whole[2]: b"not a video"}
    healthy = {path: path.read_bytes() for path in broken}
    for path, content in broken.items():
        path.write_bytes(content)
    with pytest.raises(PartialError, match=r"2 of 16 videos failed"):
        extract_frames(copied, settings(out))
    said = capsys.readouterr().err
    assert f"{whole[1]}: an empty file" in said
    rows = [json.loads(line) for line in (out / FAILURES).read_text().splitlines()]
    assert [row["file"] for row in rows] == [str(path) for path in broken]
    assert {row["shard"] for row in rows} == {"frames-00000.h5"}
    assert len(read_tables(find_shards(out)[0]).names) == 2

    with pytest.raises(PartialError, match=r"2 of 16 videos failed"):  # they are still told, but not tried
        extract_frames(copied, settings(out))
    for path, content in healthy.items():
        path.write_bytes(content)
    for path in (path for path in whole if path not in broken):
        status = path.stat()
        path.write_bytes(b"not decoded again".ljust(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    extract_frames(copied, settings(out, retry_failed=True))
    assert digests(out) == digests(quiet)
    assert not (out / FAILURES).exists()


@pytest.fixture
def copied(videos: Path, tmp_path: Path) -> Path:
    """The videos, to be changed."""
    return Path(shutil.copytree(videos, tmp_path / "videos", copy_function=shutil.copy2))


def test_a_video_that_was_replaced_under_its_name_is_named(copied: Path, quiet: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    extract_frames(copied, settings(out))
    assert digests(out) == digests(quiet)
    first, second, *_ = sorted(copied.rglob("*.avi"))
    first.write_bytes(second.read_bytes())
    name = first.relative_to(copied).with_suffix("")
    before = digests(out)
    for _ in range(2):
        with pytest.raises(SettingsError, match=rf"1 video replaced since \({name}\): delete it"):
            extract_frames(copied, settings(out))
    assert digests(out) == before
    find_shards(out)[0].unlink()
    extract_frames(copied, settings(out))
    extract_frames(copied, settings(out))
    assert [old == new for old, new in zip(before.values(), digests(out).values(), strict=True)] == [False] + [True] * 3


def test_a_file_of_another_time_is_read_before_anything_is_said_of_it(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "frames"
    extract_frames(copied, settings(out))
    touched, flipped, *_ = sorted(copied.rglob("*.avi"))
    os.utime(touched, ns=(1, 1))
    extract_frames(copied, settings(out))
    assert "nothing to do" in capsys.readouterr().err
    monkeypatch.setattr(originals, "look_at", lambda path: pytest.fail(f"{path} is read again"))
    extract_frames(copied, settings(out))
    monkeypatch.undo()
    content = bytearray(flipped.read_bytes())
    content[-1] ^= 1
    flipped.write_bytes(content)
    with pytest.raises(SettingsError, match=r"1 video replaced"):
        extract_frames(copied, settings(out))


def test_what_is_kept_of_the_videos_changes_no_shard_and_may_be_lost(
    copied: Path, quiet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "frames"
    for path in copied.rglob("*.avi"):
        os.utime(path, ns=(5, 5))
    extract_frames(copied, settings(out))
    assert digests(out) == digests(quiet)
    kept = [originals_path(path) for path in find_shards(out)]
    kept[0].unlink()
    kept[1].write_bytes(
        b"\xff\n[1]\n{}\nnull\n" + b'{"name": 1, "size": [], "mtime_ns": 1, "sha256": 0}\n' + b"[" * 9999
    )
    for path in copied.rglob("*.avi"):
        os.utime(path, ns=(6, 6))
    capsys.readouterr()
    extract_frames(copied, settings(out))
    assert digests(out) == digests(quiet)
    assert "1 shard without videos.jsonl beside them: a replaced video is not noticed there" in capsys.readouterr().err


def test_a_class_without_a_video_is_told(copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "empty").mkdir()
    extract_frames(copied, settings(tmp_path / "frames"))
    assert f"warning: no video in 1 folder: {copied / 'empty'}" in capsys.readouterr().err


def test_what_cannot_be_looked_into_is_passed_over_and_counted(
    copied: Path, quiet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "loop").symlink_to("loop")
    (copied / "endless").symlink_to("x" * 300)
    extract_frames(copied, settings(tmp_path / "frames"))
    assert digests(tmp_path / "frames") == digests(quiet)
    said = capsys.readouterr().err
    assert f"passed over: 2 places that cannot be read, the first: {copied}/endless: File name too long" in said


def test_names_and_reasons_cannot_steer_the_terminal(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = copied / "a\x1b[31mred\nline\r"
    odd.mkdir()
    (odd / "x.avi").touch()
    (odd / "x.\x07").touch()
    with pytest.raises(PartialError):
        extract_frames(copied, settings(tmp_path / "frames"))
    said = capsys.readouterr().err
    assert set(said) - {"\n"} == {c for c in said if c.isprintable()}
    assert r"a\x1b[31mred\nline\r/x.avi: an empty file" in said
    done = call(copied, tmp_path / "frames\n\x1b[0m", "--quality", "2", "--videos-per-shard", "4", "--jobs", "1")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("tsn: 1 of 17 videos failed, as ")
    assert "\x1b" not in done.stderr


def test_one_bad_video_ends_the_command_with_code_3_unless_it_may_fail(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.avi").write_bytes(b"nothing")
    (tmp_path / "videos/b.avi").write_bytes(next(videos.rglob("*.avi")).read_bytes())
    done = call(tmp_path / "videos", tmp_path / "frames")
    assert done.returncode == 3
    assert "1 of 2 videos failed" in done.stderr.splitlines()[-1]
    assert done.stdout == ""
    listed = (tmp_path / "frames" / FAILURES).read_text()
    done = call(tmp_path / "videos", tmp_path / "frames", "--allow-failed")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == f"1 of 2 videos failed, as {tmp_path / 'frames' / FAILURES} lists"
    assert (tmp_path / "frames" / FAILURES).read_text() == listed


def test_only_what_is_its_own_is_cleared_away(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tmp").write_text("mine")
    (tmp_path / f"frames-00000.h5.{'0' * 32}.tmp").write_text("half")
    extract_frames(videos, settings(tmp_path))
    assert [path.name for path in tmp_path.glob("*.tmp")] == ["thesis.tmp"]


def test_overwrite_takes_nothing_away_before_somebody_can_make_it_again(videos: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    extract_frames(videos, settings(tmp_path))
    before = digests(tmp_path)
    with pytest.raises(SettingsError, match="no scheduler answers"):
        extract_frames(videos, settings(tmp_path, overwrite=True, dask="nonsense"))
    assert digests(tmp_path) == before


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own of a few bytes; skips where mounting is not allowed."""
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip("no right to mount a small disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(videos: Path, quiet: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "5m") as disk:
        out = disk / "frames"
        done = call(videos, out)
        assert done.returncode == 1
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"tsn: {out} cannot be written: No space left on device: free some space")
        assert "Traceback" not in done.stderr
        assert not list(out.glob("*.tmp"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert call(videos, out).returncode == 0
        assert digests(out) == digests(quiet)


@pytest.mark.parametrize("size", ["4k", "8k"])
def test_a_full_folder_for_temporary_files_changes_no_byte(
    copied: Path, tmp_path: Path, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is also a damaged video, of which ffmpeg has much to say."""
    damaged = sorted(copied.rglob("*.avi"))[2]
    data = bytearray(damaged.read_bytes())
    for at in range(len(data) // 2, len(data) - len(data) // 4, 50):
        data[at] ^= 0xFF
    damaged.write_bytes(data)
    extract_frames(copied, settings(tmp_path / "quiet"))
    assert any("decoding errors" in note for note in read_tables(find_shards(tmp_path / "quiet")[0]).notes)
    with small_disk(tmp_path / "disk", size) as disk:
        (disk / "full").write_bytes(bytes(4096))
        monkeypatch.setenv("TMPDIR", str(disk))
        done = call(copied, tmp_path / "frames")
        assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "frames") == digests(tmp_path / "quiet")


def test_a_folder_that_cannot_be_written_is_one_line(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TsnError, match=r"file/frames cannot be written: Not a directory"):
        extract_frames(videos, settings(tmp_path / "file" / "frames"))


@pytest.fixture(scope="module")
def frame_folders(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first six videos as folders of frames: some as large as shards have them, some as large as they were."""
    folder = tmp_path_factory.mktemp("frame_folders")
    for number, video in enumerate(sorted(videos.rglob("*.avi"))[:6]):
        here = folder / video.relative_to(videos).with_suffix("")
        here.mkdir(parents=True)
        size = ["-s", "340x256"] if number % 2 else []
        kind = "png" if number == 2 else "jpg"
        ffmpeg("-i", str(video), *size, "-q:v", "2", str(here / f"img_%05d.{kind}"))
    return folder


def test_folders_of_frames_become_the_same_shards_however_they_are_made(
    frame_folders: Path, videos: Path, quiet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out, jobs in (("one", 1), ("three", 3)):
        extract_frames(frame_folders, settings(tmp_path / out, jobs=jobs))
    assert digests(tmp_path / "one") == digests(tmp_path / "three")
    verify([tmp_path / "one"])
    tables, same = read_tables(find_shards(tmp_path / "one")[0]), read_tables(find_shards(quiet)[0])
    assert tables.names == same.names  # what was a video has the same name as a folder of its frames
    assert tables.first_frame.tolist() == same.first_frame.tolist()
    assert "6 folders of numbered pictures: each is a video whose frames are there" in capsys.readouterr().err
    shard = Shard(find_shards(tmp_path / "one")[0])
    kept = frame_folders / tables.names[1]
    for number, path in enumerate(sorted(kept.iterdir()), start=int(tables.first_frame[1])):
        assert bytes(shard.read(number).data) == path.read_bytes()


def test_a_frame_that_is_damaged_is_named_and_tried_again_and_one_that_changed_is_noticed(
    frame_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied, out = tmp_path / "copied", tmp_path / "frames"
    shutil.copytree(frame_folders, copied)
    whole = tmp_path / "whole"
    extract_frames(copied, settings(whole))
    picture = sorted(copied.rglob("img_00003.jpg"))[0]
    content = picture.read_bytes()
    picture.write_bytes(content[:500])
    with pytest.raises(PartialError, match="1 of 6 videos failed"):
        extract_frames(copied, settings(out))
    assert f"{picture.parent}: img_00003.jpg" in capsys.readouterr().err
    picture.write_bytes(content)
    extract_frames(copied, settings(out, retry_failed=True))
    assert digests(out) == digests(whole)
    picture.write_bytes((picture.parent / "img_00001.jpg").read_bytes())
    with pytest.raises(SettingsError, match="1 video replaced since"):
        extract_frames(copied, settings(out))
