import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import write_list
from tests.pipeline.splits.made import official
from tsn.pipeline.splits.lists import read_annotations
from tsn.pipeline.splits.text import text_lines, whole_text
from tsn.tsn_shared.errors import DataError


def test_a_fifo_or_a_device_in_the_place_of_a_list_is_not_waited_for(tmp_path: Path) -> None:
    folder = official(tmp_path)
    for name, kind, make in (
        ("trainlist01.txt", "a FIFO", os.mkfifo),
        ("classInd.txt", "a device", lambda path: path.symlink_to("/dev/zero")),
    ):
        (folder / name).unlink()
        make(folder / name)
        with pytest.raises(DataError, match=f"{name} cannot be read: it is {kind}, not a regular file"):
            read_annotations(folder)


def test_a_list_that_is_no_text_is_refused_after_its_first_line(tmp_path: Path) -> None:
    """However long it claims to be: nothing of this one is on the disk."""
    folder = official(tmp_path)
    os.truncate(folder / "testlist01.txt", 1 << 40)
    with pytest.raises(DataError, match=r"testlist01\.txt, line \d+ is no text: it holds a zero byte or over 65,536"):
        read_annotations(folder)
    (folder / "testlist01.txt").write_text("a" * 70_000)
    with pytest.raises(DataError, match=r"testlist01\.txt, line 1 is no text"):
        read_annotations(folder)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_they_may_and_hold_what_names_hold(tmp_path: Path, end: str) -> None:
    write_list(tmp_path / "classes.txt", "A", "B", end=end)
    lines = ["A/a\x0bb\x1cc\u2028d.avi 0", "", "  ", "B/x.avi 1"]  # what other readers take for an end is none
    write_list(tmp_path / "a_train_b.txt", *lines, end=end)
    write_list(tmp_path / "a_test_b.txt", "B/y.avi 1", end=end)
    (split,) = read_annotations(tmp_path).splits
    assert [clip.path for clip in split.clips["train"]] == ["A/a\x0bb\x1cc\u2028d.avi", "B/x.avi"]


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
def test_utf_16_without_a_mark_is_known_by_its_zero_bytes(tmp_path: Path, encoding: str) -> None:
    lines = ["A/\u00e9t\u00e9 \u0100.avi 0", "B/\u4e2d.avi 1"]
    (tmp_path / "a.txt").write_bytes("\r\n".join(lines).encode(encoding))
    assert list(text_lines(tmp_path / "a.txt")) == lines


def test_zero_bytes_in_a_text_are_shown_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"A/a.avi 0\nB/\0\0\0.avi 1\n")
    with pytest.raises(DataError, match=r"line 2 is no text: .* where it is text in an encoding of its own, save it"):
        list(text_lines(tmp_path / "a.txt"))


@given(
    lines=st.lists(st.text(st.characters(exclude_characters="\0\r\n"), max_size=20), max_size=20),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    block=st.integers(2, 50),
)
def test_lines_are_the_same_wherever_a_block_ends(lines: list[str], end: str, encoding: str, block: int) -> None:
    whole = end.join(["first", *lines])
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "a.txt"
        path.write_bytes(whole.encode(encoding))
        patch.setattr("tsn.pipeline.splits.text.BLOCK", block)
        assert "\n".join(text_lines(path)) == "\n".join(["first", *lines])


def test_a_file_that_is_read_whole_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    os.truncate(tmp_path / "a.json", 1 << 40)
    with pytest.raises(DataError, match=r"a\.json cannot be read: it is longer than|a\.json cannot be read: "):
        whole_text(tmp_path / "a.json")
