import json
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers import frames_of, jpeg_header, make_shard, seal_by_hand, tables_of
from tsn.tsn_shared import hdf5, shards
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.shards import ShardTables, find_shards, fingerprint, read_tables, write_shard

HEADER = jpeg_header()
VIDEOS = {
    "Archery/v_Archery_g01_c01": [HEADER + b"first frame", HEADER + b"second", HEADER + b"x"],
    "YoYo/v_YoYo_g02_c01": [HEADER + b" another \xff\xd9"],
    "YoYo/v_\udce9_g02_c02": [HEADER + b"a name that is not UTF-8"],
}
FAILURES = [("Bad/v_zero", "zero bytes")]

NAMES = (
    st.binary(min_size=1, max_size=20)
    .filter(lambda name: b"\0" not in name)
    .map(lambda n: n.decode("utf-8", "surrogateescape"))
)
CLIPS = st.dictionaries(NAMES, st.lists(st.binary(max_size=50).map(HEADER.__add__), min_size=1, max_size=5), max_size=6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_shard(tmp_path / "frames-00000.h5", VIDEOS, failures=FAILURES)


@given(videos=CLIPS, failures=st.lists(st.tuples(NAMES, NAMES), max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_every_frame_comes_back_under_its_video(
    tmp_path: Path, videos: dict[str, list[bytes]], failures: list[tuple[str, str]]
) -> None:
    path = make_shard(tmp_path / "frames-00000.h5", videos, failures=failures)
    shard = Shard(path)
    assert shard.tables.names == tuple(videos)
    assert shard.tables.failures == tuple(failures)
    assert shard.tables.frames.tolist() == [len(frames) for frames in videos.values()]
    frames = [(video, frame) for video, frames in enumerate(videos.values()) for frame in frames]
    shard.will_need(range(len(frames)))
    for number, (video, frame) in enumerate(frames):
        assert shard.read(number).tobytes() == frame
        assert shard.tables.video_of(number) == video


def test_tables_hold_what_was_written(path: Path) -> None:
    tables, _ = tables_of(VIDEOS, failures=FAILURES)
    read = read_tables(path)
    assert (read.settings, read.names, read.notes, read.failures) == (
        tables.settings,
        tables.names,
        tables.notes,
        tables.failures,
    )
    for name in ("first_frame", "width", "height", "fps", "offset", "crc32"):
        written, back = getattr(tables, name), getattr(read, name)
        assert back.dtype == written.dtype
        assert back.tolist() == written.tolist()


def test_layout_is_the_documented_one(path: Path) -> None:
    """Whoever opens a shard with plain h5py finds the frames where the format says."""
    with h5py.File(path, "r") as file:
        jpeg, offset = file["jpeg"], file["frame/offset"][()]
        assert jpeg.chunks is None
        assert jpeg[()].tobytes() == b"".join(frame for frames in VIDEOS.values() for frame in frames)
        for number, frame in enumerate(frame for frames in VIDEOS.values() for frame in frames):
            assert jpeg[offset[number] : offset[number + 1]].tobytes() == frame
            assert file["frame/crc32"][number] == zlib.crc32(frame)
        assert file["video/first_frame"][()].tolist() == [0, 3, 4, 5]
        assert json.loads(file.attrs["settings"]) == {"quality": 2, "size": "340x256"}
        assert (file.attrs["format"], file.attrs["version"], file.attrs["complete"]) == ("tsn-frames", 1, True)
        assert file.attrs["fingerprint"] == fingerprint({"quality": 2, "size": "340x256"})


def test_fingerprint_goes_by_content_not_by_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})


def test_same_videos_written_seconds_apart_give_the_same_bytes(path: Path) -> None:
    time.sleep(1.1)  # HDF5 stores times in whole seconds
    assert make_shard(path.with_name("again.h5"), VIDEOS, failures=FAILURES).read_bytes() == path.read_bytes()


def test_frames_larger_than_a_block_are_copied_whole(tmp_path: Path) -> None:
    frames = [HEADER + bytes([7]) * (3 << 20), HEADER + bytes([9]) * (3 << 20), HEADER + b"last"]
    shard = Shard(make_shard(tmp_path / "frames-00000.h5", {"A/v": frames}))
    assert [shard.read(number).tobytes() for number in range(3)] == frames


def test_short_payload_leaves_no_shard(tmp_path: Path) -> None:
    tables, payload = tables_of(VIDEOS)
    with pytest.raises(ValueError, match="157 of the 158 bytes"):
        write_shard(tmp_path / "frames-00000.h5", tables, [payload[:-1]])
    assert list(tmp_path.iterdir()) == []


def test_flipped_frame_names_shard_video_and_frame(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"second", b"sekond"))
    shard = Shard(path)
    assert shard.read(0).tobytes() == HEADER + b"first frame"
    with pytest.raises(DataError) as error:
        shard.read(1)
    words = "damaged data in video Archery/v_Archery_g01_c01, frame 1 (CRC32)"
    assert str(error.value).startswith(f"{path}: {words}")


def test_every_truncation_and_every_addition_is_found(path: Path) -> None:
    content = path.read_bytes()
    for length in [*range(0, len(content), 61), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            Shard(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(DataError, match="SHA-256 differs"):
        Shard(path)


def test_shards_are_found_in_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("frames-00010.h5", "frames-00002.h5", "frames-00003.h5.tmp", "failures.jsonl", "split1.h5"):
        (tmp_path / name).touch()
    assert [path.name for path in find_shards(tmp_path)] == ["frames-00002.h5", "frames-00010.h5"]


def test_read_bytes_cannot_be_written_to(path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        Shard(path).read(0)[0] = 0


def column(**changes: list[Any]) -> Callable[[ShardTables], ShardTables]:
    arrays: dict[str, Any] = {name: np.array(values) for name, values in changes.items()}
    return lambda tables: replace(tables, **arrays)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (column(offset=[0, 32, 32, 81, 113, 158]), "frame/offset does not rise"),
        (column(offset=[0, 59, 32, 81, 113, 158]), "frame/offset does not rise"),
        (column(offset=[3, 32, 59, 81, 113, 158]), "frame/offset does not rise"),
        (column(offset=[-9, 32, 59, 81, 113, 158]), "frame/offset does not rise"),
        (column(offset=[0, 32, 59, 81, 113, 157]), "frame/offset does not rise"),
        (column(first_frame=[0, 3, 3, 5]), "video/first_frame does not rise"),
        (column(first_frame=[0, 4, 3, 5]), "video/first_frame does not rise"),
        (column(first_frame=[0, 3, 4, 6]), "video/first_frame does not rise"),
        (column(first_frame=[0, 3, 5]), "rows"),
        (column(crc32=[1, 2, 3, 4]), "rows"),
        (column(width=[340, 340]), "rows"),
    ],
)
def test_tables_that_disagree_are_refused(
    tmp_path: Path, change: Callable[[ShardTables], ShardTables], words: str
) -> None:
    """A valid seal says who wrote the tables, not that they make sense."""
    tables, payload = tables_of(VIDEOS)
    assert tables.offset.tolist() == [0, 32, 59, 81, 113, 158]
    path = tmp_path / "frames-00000.h5"
    wrong = change(tables)

    def fill(file: h5py.File) -> None:
        file.create_dataset("jpeg", data=np.frombuffer(payload, dtype=np.uint8))
        for name, values in shards._columns(wrong).items():
            file.create_dataset(name, data=values)
        file.attrs["settings"] = "{}"

    hdf5.create(path, shards.KIND, fill)
    with pytest.raises(DataError, match=words):
        read_tables(path)


@pytest.mark.parametrize(
    "value", ["[1]", "{", 3, None, "[" * 30_000, '{"a": ' * 900 + "1" + "}" * 900, '{"a": [1]}', "x" * 60_000]
)
def test_settings_that_are_no_json_object_are_refused(path: Path, value: object) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["settings"]
        if value is not None:
            file.attrs["settings"] = value
        start, size = file["jpeg"].id.get_offset(), len(file["jpeg"])
    seal_by_hand(path, payload=(start, start + size))
    with pytest.raises(DataError, match="attribute settings is"):
        read_tables(path)


def test_reading_a_shard_opens_no_other_file(tmp_path: Path) -> None:
    """External storage for the payload, under a valid seal, is refused before a byte of it is read."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"first frame")
    path = make_shard(tmp_path / "frames-00000.h5", {"A/v": [b"first frame"]})
    with h5py.File(path, "r+") as file:
        del file["jpeg"]
        file.create_dataset("jpeg", shape=(11,), dtype=np.uint8, external=[(str(secret), 0, 11)])
    with pytest.raises(DataError, match="not a plain data set"):
        Shard(seal_by_hand(path))


def test_empty_shard_of_failures_only_is_sound(tmp_path: Path) -> None:
    shard = Shard(make_shard(tmp_path / "frames-00000.h5", {}, failures=FAILURES))
    assert shard.tables.names == ()
    assert shard.tables.failures == tuple(FAILURES)
    shard.will_need([])


def test_frames_are_read_in_any_order(tmp_path: Path) -> None:
    frames = frames_of("A/v", 50)
    shard = Shard(make_shard(tmp_path / "frames-00000.h5", {"A/v": frames}))
    for number in np.random.default_rng(0).permutation(50).tolist():
        shard.will_need([number, 0])
        assert shard.read(number).tobytes() == frames[number]


@pytest.mark.parametrize(
    ("frame", "place"),
    [
        (b"\x89PNG\r\n\x1a\n and so on", 1),
        (jpeg_header(341, 256) + b"wider", 1),
        (jpeg_header(16_000, 16_000) + b"a bomb", 1),
        (jpeg_header(256, 340) + b"turned", 0),
        (HEADER[:-1], 2),
    ],
)
def test_a_frame_that_is_no_jpeg_of_its_size_names_shard_video_and_frame(
    tmp_path: Path, frame: bytes, place: int
) -> None:
    frames = frames_of("A/v", 3)
    frames[place] = frame
    shard = Shard(make_shard(tmp_path / "frames-00000.h5", {"A/w": frames_of("A/w", 2), "A/v": frames}))
    for number in {0, 1, 2, 3, 4} - {2 + place}:
        shard.read(number)
    with pytest.raises(DataError) as error:
        shard.read(2 + place)
    words = f"video A/v, frame {place}: not a JPEG of 340x256, which the tables state: delete this shard and run"
    assert str(error.value).startswith(f"{shard.path}: {words}")


def test_of_videos_of_several_sizes_each_is_held_to_its_own(tmp_path: Path) -> None:
    sizes = [(64, 48), (48, 64), (64, 48)]
    frames = {f"A/v{row}": [jpeg_header(*size) + bytes([row])] for row, size in enumerate(sizes)}
    tables, payload = tables_of(frames)
    width, height = (np.array(edges, dtype=np.int32) for edges in zip(*sizes, strict=True))
    write_shard(tmp_path / "right.h5", replace(tables, width=width, height=height), [payload])
    write_shard(tmp_path / "wrong.h5", replace(tables, width=width[[0, 1, 1]], height=height[[0, 1, 1]]), [payload])
    right, wrong = Shard(tmp_path / "right.h5"), Shard(tmp_path / "wrong.h5")
    for number in (0, 1, 2, 2, 0, 1):
        assert right.read(number).tobytes() == frames[f"A/v{number}"][0]
    wrong.read(0)  # what frame 2 begins with is known, as another size's
    with pytest.raises(DataError, match="A/v2, frame 0: not a JPEG of 48x64"):
        wrong.read(2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *(
            (column(width=[340, edge, 340]), "video/width is not from 1 to 16384")
            for edge in (0, -1, 16_385, 2**31 - 1)
        ),
        (column(height=[256, 256, 0]), "video/height is not from 1 to 16384"),
        *(
            (column(fps=[25.0, fps, 0.0]), "fps is not a frame rate")
            for fps in (float("nan"), float("inf"), -1.0, 1e-320)
        ),
    ],
)
def test_tables_of_what_no_video_has_are_refused(
    tmp_path: Path, change: Callable[[ShardTables], ShardTables], words: str
) -> None:
    tables, payload = tables_of(VIDEOS)
    write_shard(tmp_path / "frames-00000.h5", change(tables), [payload])
    with pytest.raises(DataError, match=words):
        read_tables(tmp_path / "frames-00000.h5")


def test_a_jpeg_longer_than_a_picture_of_its_size_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MOST_HEADER", 45 - 6 * 340 * 256)
    read_tables(path)  # the longest has 45 bytes
    monkeypatch.setattr(shards, "MOST_HEADER", 44 - 6 * 340 * 256)
    with pytest.raises(DataError, match="frame/offset holds a JPEG that is too long for its size"):
        read_tables(path)


def sparse(file: h5py.File, name: str, length: int) -> None:
    """Make a column of so many zero bytes that has a place in the file and nothing on the disk."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind = h5py.h5t.py_create(np.dtype("S1" if "name" in name or "reason" in name else np.uint8))
    h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple((length,)), layout)


@pytest.mark.parametrize(
    ("names", "what"),
    [(["failure/name", "failure/reason"], "tables"), (["jpeg"], "payload"), (["video/name"], "tables")],
)
def test_a_sparse_file_is_refused_before_its_holes_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], what: str
) -> None:
    length = 300_000_000
    path = make_shard(tmp_path / "frames-00000.h5", VIDEOS)
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        for name in names:
            del file[name]
            sparse(file, name, length)
        start, size = file["jpeg"].id.get_offset(), len(file["jpeg"])
    if path.stat().st_blocks * 512 > length:
        pytest.skip("this file system has no holes")
    seal_by_hand_in_place(path, payload=(start, start + size))
    monkeypatch.setattr(hdf5, "_digest", lambda *_: pytest.fail("it was hashed"))
    with pytest.raises(DataError, match=rf"declares [\d,]+ bytes of {what} and holds [\d,]+ of them: refused"):
        read_tables(path)


def seal_by_hand_in_place(path: Path, *, payload: tuple[int, int]) -> None:
    """Give a file a seal whose digest is nobody's: holes are found before."""
    with path.open("r+b") as file:
        text = f"tsn-frames 1\npayload {payload[0]} {payload[1]}\nsha256 {'0' * 64}\n"
        file.write(text.encode().ljust(512, b"\0"))


def test_names_are_decoded_only_where_there_is_something_of_every_video(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(path, "r+") as file:
        del file["video/name"]
        file["video/name"] = np.zeros(4000, dtype="S1")
        start, size = file["jpeg"].id.get_offset(), len(file["jpeg"])
    seal_by_hand(path, payload=(start, start + size))
    monkeypatch.setattr(hdf5, "decode_names", lambda *_: pytest.fail("they were decoded"))
    with pytest.raises(DataError, match="video/first_frame has 4 rows, not 4001"):
        read_tables(path)


def test_a_fifo_in_the_place_of_a_shard_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "frames-00000.h5")
    for read in (read_tables, Shard):
        with pytest.raises(DataError, match=r"frames-00000\.h5 cannot be read: it is a FIFO"):
            read(tmp_path / "frames-00000.h5")
