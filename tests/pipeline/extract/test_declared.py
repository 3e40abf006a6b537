"""Pieces of a file, and what a part of it says of the whole."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tsn.pipeline.extract import declared as module
from tsn.pipeline.extract.declared import FileBytes, zeros_at_end


@pytest.mark.parametrize(
    ("counted", "read_to", "claimed", "frames"),
    [(3, 75, 0, 3), (3, 74, 0, 4), (5, 50, 0, 10), (0, 0, 0, 0), (3, 10, 7, 7), (9, 10, 7, 9)],
)
def test_a_rest_of_over_a_quarter_holds_frames_too(counted: int, read_to: int, claimed: int, frames: int) -> None:
    assert module.frames_of_part(counted, read_to=read_to, size=100, claimed=claimed) == frames


@example(bytes(range(64)), [(5, 4), (3, 2), (6, 2), (40, 4), (20, 3)])  # back and on again, within a piece and beyond
@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 310), st.integers(0, 60)), max_size=9))
def test_pieces_of_a_file_are_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, reads: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "pieces"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr(module, "_PIECE", 16)
        pieces = FileBytes(file.fileno())
        assert [pieces.read(at, count) for at, count in reads] == [data[at : at + count] for at, count in reads]


@given(st.binary(max_size=60), st.integers(0, 99))
def test_zeros_at_the_end_are_found_from_the_first_to_the_last(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, zeros: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "zeros"
    path.write_bytes(data + bytes(zeros))
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr(module, "_PIECE", 16)
        assert zeros_at_end(FileBytes(file.fileno())) == len(data.rstrip(b"\0"))
        patch.setattr(module, "_MOST_ZEROS", 32)
        assert zeros_at_end(FileBytes(file.fileno())) >= len(data) + zeros - 48
