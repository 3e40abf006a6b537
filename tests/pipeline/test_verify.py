import os
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers import frames_of, jpeg_header, make_shard, make_shards, write_list
from tsn.pipeline import verify as module
from tsn.pipeline.info import info, info_text
from tsn.pipeline.splits.build import build_splits
from tsn.pipeline.verify import hash_shard, verify
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.hdf5 import read_seal
from tsn.tsn_shared.settings import SplitsSettings
from tsn.tsn_shared.shards import KIND, read_tables

NAMES = [f"{name}/v_{name}_g{group:02d}_c01" for name in ("Archery", "YoYo") for group in range(1, 6)]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Ten videos of three frames in three shards."""
    return make_shards(tmp_path / "frames", NAMES)


@pytest.fixture
def both(tmp_path: Path, frames: Path) -> tuple[Path, Path]:
    """The same with a split of seven and three."""
    lists = tmp_path / "lists"
    write_list(lists / "classInd.txt", "1 Archery", "2 YoYo")
    write_list(lists / "trainlist01.txt", *(f"{name}.avi {1 + (name > 'B')}" for name in NAMES[:7]))
    write_list(lists / "testlist01.txt", *(f"{name}.avi" for name in NAMES[7:]))
    build_splits(lists, SplitsSettings(frames=frames, out=tmp_path / "splits"))
    return frames, tmp_path / "splits"


def said(capsys: pytest.CaptureFixture[str], *folders: Path) -> tuple[list[str], str]:
    """Return the findings that verify said, and the error that it ended with."""
    capsys.readouterr()
    with pytest.raises(DataError) as error:
        verify(folders)
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines(), str(error.value)


def test_sound_folders_are_called_sound(both: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    verify(both)
    assert capsys.readouterr().err.startswith("3 shards and 1 split sound: 0.00 GB hashed in ")


def test_a_shard_or_a_split_that_is_named_is_hashed_alone(
    both: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    one, split = both[0] / "frames-00001.h5", both[1] / "split1.h5"
    (both[0] / "frames-00000.h5").unlink()
    capsys.readouterr()
    verify([one, split])
    assert "1 shard and 1 split sound: " in capsys.readouterr().err
    with one.open("r+b") as file:
        file.seek(-3, 2)
        file.write(b"other")
    assert [str(one) in finding for finding in said(capsys, one)[0]] == [True]
    (both[1] / "list.txt").touch()
    with pytest.raises(DataError, match=r"list\.txt is no folder: name a folder"):
        verify([both[1] / "list.txt"])


def test_every_flipped_byte_of_a_shard_is_found(tmp_path: Path) -> None:
    videos = {"A/v": [jpeg_header() + b"one", jpeg_header() + b"two"]}
    path = make_shard(tmp_path / "frames-00000.h5", videos, failures=[("A/w", "zero bytes")])
    missed = []
    with path.open("r+b", buffering=0) as file:
        for position, value in enumerate(path.read_bytes()):
            os.pwrite(file.fileno(), bytes([value ^ 1 << position % 8]), position)
            findings = hash_shard(path).findings
            if len(findings) != 1 or str(path) not in findings[0]:
                missed.append(position)
            os.pwrite(file.fileno(), bytes([value]), position)
    assert missed == []
    assert hash_shard(path).findings == ()


def test_every_flipped_byte_of_a_split_is_found(
    both: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = both[1] / "split1.h5"
    content = path.read_bytes()
    positions = [*range(512), *range(512, len(content), 97), len(content) - 1]
    for position in positions:
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        findings, end = said(capsys, both[1])
        assert len(findings) == 1, position
        assert str(path) in findings[0]
        assert end == "verify: 1 finding in 1 split: see above"


def test_damage_names_shard_video_and_frame(frames: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = frames / "frames-00001.h5"
    name = NAMES[5]
    path.write_bytes(path.read_bytes().replace(f"{name} frame 1".encode(), f"{name} frame X".encode()))
    findings, end = said(capsys, frames)
    assert findings == [
        f"{path}: damaged data in video {name}, frame 1 (CRC32): delete this shard and run extract-frames again"
    ]
    assert end == "verify: 1 finding in 3 shards: see above"


def test_jpegs_unlike_their_tables_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their CRC32s are right: they were written so, by whoever made the shard."""
    frames = {name: frames_of(name, 4) for name in ("A/v", "A/w")}
    frames["A/v"][3] = b"\x89PNG"
    frames["A/w"][0] = frames["A/w"][1] = jpeg_header(20_000, 20_000)
    path = make_shard(tmp_path / "frames-00000.h5", frames)
    findings, end = said(capsys, tmp_path)
    words = "not a JPEG of 340x256, which the tables state: delete this shard and run extract-frames again"
    assert findings == [f"{path}: video A/v, frame 3: {words}", f"{path}: video A/w, frames 0 to 1: {words}"]
    assert end == "verify: 2 findings in 1 shard: see above"


def test_a_fifo_in_the_place_of_a_shard_or_a_split_is_found_and_not_waited_for(
    both: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (both[0] / "frames-00001.h5", both[1] / "split1.h5"):
        path.unlink()
        os.mkfifo(path)
    findings, _ = said(capsys, *both)
    assert [finding.partition(" cannot be read: ")[2] for finding in findings] == [
        "it is a FIFO, not a regular file"
    ] * 2


@pytest.mark.parametrize("keep", [0, 100, 511, 600, -1])
def test_truncated_shard_is_found(frames: Path, capsys: pytest.CaptureFixture[str], keep: int) -> None:
    path = frames / "frames-00002.h5"
    path.write_bytes(path.read_bytes()[:keep])
    findings, _ = said(capsys, frames)
    assert len(findings) == 1
    assert findings[0].startswith(str(path))


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_runs_of_damaged_frames_are_one_finding_a_video(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever frames are damaged and however few fit into a block: the findings name exactly those."""
    sizes = data.draw(st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=5), min_size=1, max_size=4))
    videos = {f"A/v{row}": [jpeg_header() + bytes([7]) * size for size in frames] for row, frames in enumerate(sizes)}
    path = make_shard(tmp_path / "frames-00000.h5", videos)
    tables = read_tables(path)
    bad = data.draw(st.sets(st.integers(0, len(tables.crc32) - 1)))
    content = bytearray(path.read_bytes())
    start, _ = read_seal(path, KIND).payload
    for frame in bad:
        content[start + int(tables.offset[frame])] ^= 1
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", data.draw(st.integers(1, 100)))
        findings = hash_shard(path).findings
    expected = []
    for row, first in enumerate(tables.first_frame[:-1].tolist()):
        for hit, run in groupby(range(len(sizes[row])), lambda number, first=first: first + number in bad):  # type: ignore[misc]
            numbers = list(run)
            span = f"frame {numbers[0]}" if len(numbers) == 1 else f"frames {numbers[0]} to {numbers[-1]}"
            if hit:
                expected.append(f"{path}: damaged data in video A/v{row}, {span} (CRC32)")
    assert [finding.partition(": delete")[0] for finding in findings] == expected


def test_a_shard_of_another_extraction_is_found(both: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = both[0] / "frames-00000.h5"
    make_shard(path, {NAMES[0]: frames_of("other", 3)})
    findings, _ = said(capsys, *both)
    split = both[1] / "split1.h5"
    assert findings == [f"{path} is not the shard that {split} was built from: run tsn build-splits again"]


@pytest.mark.parametrize(("lost", "words"), [(0, ["lacks frames-00000.h5", "lacks 1 of the 3"]), (2, ["lacks 1 of"])])
def test_lost_shards_are_found(
    both: tuple[Path, Path], capsys: pytest.CaptureFixture[str], lost: int, words: list[str]
) -> None:
    (both[0] / f"frames-0000{lost}.h5").unlink()
    findings, _ = said(capsys, *both)
    assert len(findings) == len(words)
    for finding, word in zip(findings, words, strict=True):
        assert word in finding


def test_a_split_is_compared_with_the_folder_that_it_was_built_from(
    both: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shards have the same names in every folder; another data set beside is no reason to complain."""
    other = make_shards(tmp_path / "other", ["Bow/v_Bow_g01_c01"])
    verify([other, *both])
    assert capsys.readouterr().err.splitlines()[-1].startswith("4 shards and 1 split sound")


def test_a_split_without_its_shards_is_hashed_and_said_to_be_compared_with_none(
    both: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    verify([both[1]])
    first, last = capsys.readouterr().err.splitlines()
    assert first == f"{both[1]}/split1.h5: none of its 3 shards is in these folders: compared with none"
    assert last.startswith("1 split sound")


@pytest.mark.parametrize("do", [verify, info, info_text])
def test_a_folder_that_holds_neither_is_an_error(tmp_path: Path, do: Callable[[list[Path]], object]) -> None:
    with pytest.raises(DataError, match="holds no frame shards"):
        do([tmp_path])
    with pytest.raises(DataError, match="does not exist: name a folder"):
        do([tmp_path / "nowhere"])


def test_damaged_shards_end_with_code_4_and_one_line(frames: Path) -> None:
    path = frames / "frames-00002.h5"
    path.write_bytes(path.read_bytes()[:-1])
    for command in ("verify", "info"):
        done = subprocess.run(
            [sys.executable, "-m", "tsn", command, str(frames)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 4
        assert done.stdout == ""
        lines = done.stderr.splitlines()
        assert any(line.removeprefix("tsn: ").startswith(f"{path}: the tables are damaged") for line in lines)
        assert len(lines) == (2 if command == "verify" else 1)
