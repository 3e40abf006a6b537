"""Checks of values from outside: what they let through, and the one line with which they refuse the rest."""

import math
from typing import Any

import pytest

from tsn.tsn_shared import schema
from tsn.tsn_shared.schema import Check, WrongValueError

SIZE = {"size": schema.whole(1)}


@pytest.mark.parametrize(
    ("check", "value", "words"),
    [
        (schema.whole(), 1.0, "x is 1.0: it must be a whole number"),
        (schema.whole(0), -1, "x is -1: it must be a whole number from 0"),
        (schema.whole(2, 31), 32, "x is 32: it must be a whole number from 2 to 31"),
        (schema.whole(high=31), True, "x is True: it must be a whole number up to 31"),
        (schema.real(), math.nan, "x is nan: it must be a finite number"),
        (schema.real(0), -0.5, "x is -0.5: it must be a finite number from 0"),
        (schema.real(0, 1), 10**400, "x is a number of too many digits: it must be a finite number from 0 to 1"),
        (schema.each(schema.flag, most=2), [True, 1], "x[1] is 1: it must be true or false"),
        (schema.each(schema.flag, most=2), [True] * 3, "x is [True, True, True]: it must be a list of at most 2"),
        (schema.record(SIZE), {}, "x.size is missing"),
        (schema.record(SIZE, closed=True), {"size": 1, "colour": 2}, "x.colour is unknown"),
        (schema.record({}, SIZE), {"size": 0}, "x.size is 0: it must be a whole number from 1"),
        (schema.record(SIZE), [], "x is []: it must be values by name"),
    ],
)
def test_a_wrong_value_is_told_by_its_place_itself_and_what_it_must_be(check: Check, value: Any, words: str) -> None:
    with pytest.raises(WrongValueError) as raised:
        check(value, "x")
    assert str(raised.value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "size is missing"),
        ({"size": 0}, "size is 0: it must be a whole number from 1"),
        (3, "it is 3: it must be values by name"),
    ],
)
def test_values_of_no_place_are_told_by_their_names_alone(value: Any, words: str) -> None:
    with pytest.raises(WrongValueError) as raised:
        schema.record(SIZE)(value, "")
    assert str(raised.value) == words


def test_bounds_themselves_and_what_may_be_absent_are_let_through() -> None:
    for value in (2, 31):
        schema.whole(2, 31)(value, "x")
    for number in (0, 0.0, 1):
        schema.real(0, 1)(number, "x")
    schema.maybe(schema.flag)(None, "x")
    schema.record(SIZE, {"colour": schema.text})({"size": 1, "other": object()}, "x")
