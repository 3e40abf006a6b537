import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.pipeline.splits.columns import numbers_at_end


@given(
    path=st.from_regex(r"[a-z/ .]*[a-z/.]", fullmatch=True).filter(lambda path: not path.startswith(" ")),
    numbers=st.lists(st.integers(0, 999_999_999), max_size=2),
    space=st.sampled_from([" ", "\t", "  "]),
)
def test_the_one_or_two_numbers_at_a_lines_end_are_not_of_its_path(path: str, numbers: list[int], space: str) -> None:
    assert numbers_at_end(space.join([path, *map(str, numbers)])) == (path, tuple(numbers))


@pytest.mark.parametrize(
    ("line", "path", "numbers"),
    [
        ("7", "7", ()),
        ("7 8", "7", (8,)),
        ("7 8 9", "7", (8, 9)),
        ("a 7 8 9", "a 7", (8, 9)),
        ("a 7.avi 9", "a 7.avi", (9,)),
        ("a 1234567890", "a 1234567890", ()),
        ("a \u00b2", "a \u00b2", ()),
    ],
)
def test_of_many_numbers_the_last_two_count(line: str, path: str, numbers: tuple[int, ...]) -> None:
    assert numbers_at_end(line) == (path, numbers)
