"""What a reader keeps of a shard: enough to read any frame, little a video, and only while the file is the same."""

from pathlib import Path

import pytest

from tests.helpers import frames_of, make_shard, tables_of
from tsn.tsn_shared import shard_file
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.shards import write_shard

VIDEOS = {"A/v1": frames_of("v1", 3), "B/v2": frames_of("v2", 5)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_shard(tmp_path / "frames-00000.h5", VIDEOS)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def never(*_: object) -> None:
    raise AssertionError("the tables were checked again")


def test_a_shard_that_is_opened_again_is_not_checked_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Shard(path).index
    monkeypatch.setattr(shard_file, "read_index", never)
    again = Shard(path, index)
    wanted = [frame for frames in VIDEOS.values() for frame in frames]
    assert [again.read(number).tobytes() for number in range(8)] == wanted


def test_another_file_of_the_name_is_checked(path: Path) -> None:
    index = Shard(path).index
    make_shard(path, {"A/v1": frames_of("other", 3)})
    again = Shard(path, index)
    assert again.sha256 != index.sha256
    assert again.index.videos == 1


def test_a_file_that_was_written_to_is_checked(path: Path) -> None:
    index = Shard(path).index
    content = bytearray(path.read_bytes())
    content[-40] ^= 1  # of the tables, behind the payload
    path.write_bytes(content)
    with pytest.raises(DataError, match="tables are damaged"):
        Shard(path, index)


def test_a_table_that_changes_under_an_open_shard_is_an_error(path: Path) -> None:
    shard = Shard(path)
    with path.open("r+b") as file:
        file.seek(shard.index.offsets_at + 8)
        file.write((2**40).to_bytes(8, "little"))
    with pytest.raises(DataError, match="was changed while it was read"):
        shard.read(0)


def test_what_is_kept_does_not_grow_with_the_frames(tmp_path: Path) -> None:
    kept = []
    for frames in (2, 2000):
        tables, payload = tables_of({"A/v": frames_of("v", frames)})
        path = tmp_path / f"frames-{frames:05d}.h5"
        write_shard(path, tables, [payload])
        index = Shard(path).index
        kept.append(index.first_frame.nbytes + index.width.nbytes + index.height.nbytes)
    assert kept[0] == kept[1] < 100


def test_an_open_shard_is_one_file_and_closes_with_the_last_who_holds_it(path: Path) -> None:
    before = open_files()
    shard = Shard(path)
    assert open_files() == before + 1
    del shard
    assert open_files() == before
