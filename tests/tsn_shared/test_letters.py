"""Widths of letters as terminals have them, and names that are shortened to fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.tsn_shared.letters import shortened, width

ANY = st.text(alphabet=st.sampled_from("aZ9ñéαΩжЯ写真書カナ한국\u1112\u1161\u11ab\u0301\u200b…"), max_size=40)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("Jump", 4),
        ("Größe", 5),
        ("Άλμα Прыжок", 11),
        ("写真", 4),
        ("カタカナ", 8),
        ("ｶﾅ", 2),  # half-width
        ("한국", 4),
        ("\u1112\u1161\u11ab", 2),  # the same syllable as in 한, in its parts
        ("e\u0301", 1),
        ("", 0),
    ],
)
def test_wide_letters_take_two_columns_and_accents_none(text: str, columns: int) -> None:
    assert width(text) == columns


@given(ANY, st.integers(1, 30))
def test_what_is_shortened_fits_and_keeps_both_its_ends(text: str, columns: int) -> None:
    short = shortened(text, columns)
    assert width(short) <= columns
    if width(text) <= columns:
        assert short == text
    else:
        places = [place for place, letter in enumerate(short) if letter == "…"]
        assert any(text.startswith(short[:at]) and text.endswith(short[at + 1 :]) for at in places)
        assert width(short) >= columns - 2  # as much as fits, but for half a wide letter


def test_names_that_differ_at_one_end_still_differ() -> None:
    assert shortened("ClassOfALongName001", 10) == "Class…e001"
    assert shortened("data/splits/split1.h5", 10) == "data/…1.h5"
    assert shortened(["a", r"\|", "b", "c", "d"], 4) == "a…d"
