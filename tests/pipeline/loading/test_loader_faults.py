"""What damage, interruption and death do to a loader that runs: real files, real signals."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers import frames_of, make_shard, make_shards
from tests.pipeline.conftest import TEST, TRAIN
from tsn.pipeline.loading.loader import ClipLoader
from tsn.pipeline.loading.pixels import Pixels
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import EvalSchedule, Schedule, TrainSchedule
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import DataSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.shards import find_shards
from tsn.tsn_shared.splits import SUBSETS, Clips, Subset, read_split, write_split
from tsn.tsn_shared.views import VIEWS, Snippets

ROOT = Path(__file__).parents[3]
PROMPTLY = 10.0
"""Seconds; what is measured takes a fraction of one."""


@pytest.fixture
def copy(clips: DataSettings, tmp_path: Path) -> DataSettings:
    """A copy of the clips that a test may damage."""
    folder = tmp_path / "clips"
    shutil.copytree(clips.frames, folder)
    return DataSettings(frames=folder, splits=folder)


def opened(data: DataSettings) -> ClipLoader:
    """Open the test clips in order, two a batch."""
    return loader_from(data.frames, "test", EvalSchedule(num_clips=len(TEST), batch_size=2), segments=3)


def loader_from(folder: Path, subset: Subset, schedule: Schedule, *, segments: int = 1) -> ClipLoader:
    """Open a folder of shards and their split 1."""
    view = VIEWS["train" if subset == "train" else "val"]
    reader = FrameReader(
        read_split(folder / "split1.h5"), subset, folder, view=view, snippets=Snippets(segments=segments)
    )
    return ClipLoader(reader, schedule, Pixels(input_size=32))


def flip_a_byte(data: DataSettings, *, video: int, frame: int) -> Path:
    """Flip a byte in the middle of a frame; videos are numbered through all shards of seven."""
    path = data.frames / f"frames-{video // 7:05d}.h5"
    with h5py.File(path) as file:
        number = int(file["video/first_frame"][video % 7]) + frame
        start, stop = file["frame/offset"][number : number + 2]
        place = file["jpeg"].id.get_offset() + (int(start) + int(stop)) // 2
    with path.open("r+b") as raw:
        raw.seek(place)
        byte = raw.read(1)[0]
        raw.seek(place)
        raw.write(bytes([byte ^ 1]))
    return path


def take(loader: ClipLoader, steps: int = 8) -> None:
    for _ in range(steps):
        next(loader)


def first_error(loader: ClipLoader) -> DataError:
    with pytest.raises(DataError) as caught:
        take(loader)
    return caught.value


def test_a_flipped_byte_names_shard_video_and_frame_and_stays_an_error(copy: DataSettings) -> None:
    video = len(TRAIN) + 4  # the test clip of 28 frames, whose middle ones are 4, 14 and 23
    path = flip_a_byte(copy, video=video, frame=14)
    with opened(copy) as loader:
        error = first_error(loader)
        assert str(error).startswith(f"{path}: damaged data in video Class{video % 4}/v_{video}, frame 14")
        assert "\n" not in str(error)
        with pytest.raises(DataError, match="frame 14"):
            next(loader)  # nothing is passed over


def cut_off(data: DataSettings) -> None:
    path = data.frames / "frames-00002.h5"
    os.truncate(path, path.stat().st_size // 2)


def taken_away(data: DataSettings) -> None:
    (data.frames / "frames-00002.h5").unlink()


def another(data: DataSettings) -> None:
    """A shard of another extraction: sound by itself, but not what the split was built from."""
    shutil.copy(data.frames / "frames-00001.h5", data.frames / "frames-00002.h5")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (cut_off, "frames-00002.h5 is truncated"),
        (taken_away, "lacks 1 of the 3 shards"),
        (another, "is not the shard that"),
    ],
)
def test_shards_that_are_not_as_they_were_are_named(
    copy: DataSettings, harm: Callable[[DataSettings], None], words: str
) -> None:
    harm(copy)
    with pytest.raises(DataError, match=words) as caught, opened(copy) as loader:
        take(loader)
    assert "frames-00002.h5" in str(caught.value)


@pytest.mark.parametrize("harm", [cut_off, taken_away])
def test_a_shard_that_goes_while_it_is_read_is_an_error_and_no_crash(
    copy: DataSettings, harm: Callable[[DataSettings], None]
) -> None:
    with opened(copy) as loader:
        take(loader)  # every shard is open
        harm(copy)
        if harm is taken_away:
            take(loader)  # an open file stays readable
        else:
            assert "frames-00002.h5 became shorter while it was read" in str(first_error(loader))


def loader_of(path: Path) -> ClipLoader:
    """Open the one video of a shard, of three frames whose middle one is shown."""
    folder = path.parent
    one = Clips(
        label=np.zeros(1, dtype=np.int32),
        shard=np.zeros(1, dtype=np.int32),
        video=np.zeros(1, dtype=np.int32),
        frames=np.full(1, 3, dtype=np.int32),
    )
    write_split(
        folder / "split1.h5",
        source="tests",
        classes=("Class",),
        shards={path.name: Shard(path).sha256},
        clips={"train": one, "test": one},
        names={"train": ("Class/v_01",), "test": ("Class/v_01",)},
    )
    return loader_from(folder, "test", EvalSchedule(num_clips=1, batch_size=1))


def test_a_frame_that_is_no_picture_is_named(tmp_path: Path) -> None:
    """Its CRC32 is right: it was written so. DALI says no more than that something failed."""
    path = make_shard(tmp_path / "frames-00000.h5", {"Class/v_01": frames_of("v_01", 3)})
    with loader_of(path) as loader:
        assert f"{path}: video Class/v_01, frame 1: a JPEG that cannot be decoded" in str(first_error(loader))


def encoded(picture: Image.Image, form: str = "JPEG", **how: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **how)
    return file.getvalue()


@pytest.mark.parametrize(
    ("form", "size"),
    [("JPEG", (341, 256)), ("JPEG", (256, 340)), ("JPEG", (340, 2)), ("JPEG", (9000, 20_000)), ("PNG", (340, 256))],
)
def test_only_jpegs_of_the_size_that_the_tables_state_reach_the_decoder(
    tmp_path: Path, form: str, size: tuple[int, int]
) -> None:
    """A PNG of some kilobytes, or a large JPEG in a small one's place, would be decoded into gigabytes."""
    frame = encoded(Image.new("L", size), form)
    path = make_shard(tmp_path / "frames-00000.h5", {"Class/v_01": [frame] * 3})
    with loader_of(path) as loader:
        error = str(first_error(loader))
    assert error.startswith(f"{path}: video Class/v_01, frame 1: not a JPEG of 340x256, which the tables state")
    assert "\n" not in error


def test_a_batch_beyond_the_memory_is_refused_before_it_is_decoded(
    clips: DataSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A JPEG of a megabyte can be a gigabyte as a picture, and be what its tables say."""
    size = 2 * 3 * 340 * 256 * 3  # two clips of three frames
    monkeypatch.setattr("tsn.pipeline.loading.reader.MOST_DECODED", size)
    with opened(clips) as loader:
        take(loader, 1)
    monkeypatch.setattr("tsn.pipeline.loading.reader.MOST_DECODED", size - 1)
    with (
        pytest.raises(SettingsError, match=r"frames of 2 clips are 0\.0 GiB when they are decoded"),
        opened(clips) as loader,
    ):
        take(loader, 1)


def test_a_picture_stays_as_it_is_stored_whatever_a_camera_wrote_beside_it(tmp_path: Path) -> None:
    """A note that the camera was turned would turn the picture out of the crop that was planned for it."""
    turned = Image.Exif()
    turned[0x0112] = 6
    picture = Image.linear_gradient("L").resize((340, 256))
    clips = []
    ways: dict[str, dict[str, Any]] = {"plain": {}, "turned": {"exif": turned}}
    for name, how in ways.items():
        (tmp_path / name).mkdir()
        frame = encoded(picture, quality=95, **how)
        with loader_of(make_shard(tmp_path / name / "frames-00000.h5", {"Class/v_01": [frame] * 3})) as loader:
            clips.append(next(loader).clips)
    assert torch.equal(*clips)


def test_a_clip_whose_frames_are_not_as_many_as_its_split_says_is_refused(copy: DataSettings) -> None:
    """As of a split that was written by hand: the shard is the one it names, and the row is there."""
    path = copy.splits / "split1.h5"
    split = read_split(path)
    names: dict[Subset, tuple[str, ...]] = {subset: split.names(subset, slice(None)) for subset in SUBSETS}
    frames = split.test.frames.copy()
    frames[1] -= 1
    write_split(
        path,
        source=split.source,
        classes=split.classes,
        shards=dict(zip(split.shard_names, split.shard_sha256, strict=True)),
        clips={"train": split.train, "test": replace(split.test, frames=frames)},
        names=names,
    )
    with opened(copy) as loader:
        error = str(first_error(loader))
    assert error.startswith(f"{path}: clip {names['test'][1]} is not what {copy.frames}/frames-")
    assert error.endswith("run tsn build-splits again")


MANY_SHARDS = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (48, 64))
from tsn.pipeline.loading.reader import FrameReader
from tsn.tsn_shared.splits import read_split
from tsn.tsn_shared.views import VIEWS, Snippets
folder = Path(sys.argv[1])
split = read_split(folder / "split1.h5")
how = dict(view=VIEWS["val"], snippets=Snippets(segments=1))
readers = [FrameReader(split, subset, folder, **how) for subset in ("train", "test")]
for row in range(60):
    for reader in readers:
        reader.jpeg(row, 0)
"""


def test_a_split_of_more_shards_than_may_be_open_is_read(tmp_path: Path) -> None:
    names = [f"Class/v_{number:02}" for number in range(60)]
    make_shards(tmp_path, names, a_shard=1)
    numbers = np.arange(60, dtype=np.int32)
    each = Clips(label=0 * numbers, shard=numbers, video=0 * numbers, frames=0 * numbers + 3)
    write_split(
        tmp_path / "split1.h5",
        source="tests",
        classes=("Class",),
        shards={path.name: Shard(path).sha256 for path in find_shards(tmp_path)},
        clips={"train": each, "test": each},
        names={"train": tuple(names), "test": tuple(names)},
    )
    words = [sys.executable, "-c", MANY_SHARDS, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_reaches_the_command_as_one_line_and_exit_code_4(copy: DataSettings, tmp_path: Path) -> None:
    for video in range(len(TRAIN)):
        flip_a_byte(copy, video=video, frame=0)
    words = ["show-batch", "--frames", copy.frames, "--splits", copy.splits, "--batch-size", "11"]
    done = subprocess.run(
        [sys.executable, "-m", "tsn", *map(str, words), "--out", str(tmp_path / "batch.npz")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert "damaged data in video" in done.stderr


def test_closing_ends_all_threads_also_after_an_error(copy: DataSettings) -> None:
    flip_a_byte(copy, video=len(TRAIN), frame=0)
    with opened(copy) as loader:
        first_error(loader)
    with opened(copy):
        pass
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("tsn-")] == []


STREAM = """
import sys, time
from pathlib import Path
from tsn.pipeline.loading.loader import ClipLoader
from tsn.pipeline.loading.pixels import Pixels
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import TrainSchedule
from tsn.tsn_shared.splits import read_split
from tsn.tsn_shared.views import VIEWS, Snippets

folder = Path(sys.argv[1])
split = read_split(folder / "split1.h5")
schedule = TrainSchedule(num_clips=len(split.train), batch_size=4, seed=0)
reader = FrameReader(split, "train", folder, view=VIEWS["train"], snippets=Snippets(segments=3))
with ClipLoader(reader, schedule, Pixels(input_size=224)) as loader:
    for number in range(10**9):
        next(loader)
        if number == 3:
            print("running", flush=True)
        time.sleep(float(sys.argv[2]))
"""


def running(data: DataSettings, pause: float, **more: Any) -> subprocess.Popen[str]:
    """Start a process that trains on nothing, and wait until its loader runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", STREAM, str(data.frames), str(pause)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **more,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    return process


@pytest.mark.parametrize("pause", [0.0, pytest.param(0.2, marks=pytest.mark.slow)])
def test_ctrl_c_ends_it_at_once(clips: DataSettings, pause: float) -> None:
    """Both where the loader is waited for and where it waits."""
    process = running(clips, pause)
    time.sleep(0.3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert time.monotonic() - start < PROMPTLY
    assert process.returncode == -signal.SIGINT
    assert words.rstrip().endswith("KeyboardInterrupt")


def test_nothing_is_left_behind_by_a_kill(clips: DataSettings, tmp_path: Path) -> None:
    """There are no workers and there is no shared memory to begin with; no temporary file stays."""
    process = running(clips, 0.0, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert session_of(process.pid) == [process.pid]
    assert "/dev/shm" not in Path(f"/proc/{process.pid}/maps").read_text()
    process.kill()
    process.communicate(timeout=60)
    assert session_of(process.pid) == []
    assert list(tmp_path.iterdir()) == []


def session_of(leader: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(ValueError, ProcessLookupError):
            if os.getsid(int(entry.name)) == leader:
                found.append(int(entry.name))
    return found


def test_a_schedule_that_fails_fails_the_loader(clips: DataSettings) -> None:
    """Whatever goes wrong in a thread is raised as it is."""

    class Broken(TrainSchedule):
        def batch(self, number: int) -> Any:
            if number == 5:
                raise MemoryError("no room for the order")
            return super().batch(number)

    loader = loader_from(clips.frames, "train", Broken(num_clips=len(TRAIN), batch_size=2, seed=0))
    with loader, pytest.raises(MemoryError, match="no room for the order"):
        take(loader)
