import re

import pytest

from tsn.tsn_shared import errors
from tsn.tsn_shared.errors import TsnError, brief

TREE = dict(re.findall(r"(\w+Error) +(\d+)  ", str(errors.__doc__)))


def test_the_tree_that_is_drawn_is_the_one_that_is_there() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TsnError)]
    assert {kind.__name__: str(kind.exit_code) for kind in kinds} == TREE
    assert all(kind.__doc__ for kind in kinds)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("one line"), "one line"),
        (ValueError("\n  the first of two\nlines\n"), "the first of two"),
        (ValueError(), "ValueError"),
        (KeyError("name"), "'name'"),
        (ValueError("x" * 500), "x" * 200),
    ],
)
def test_an_error_in_brief_is_its_first_line_or_its_kind(error: Exception, words: str) -> None:
    assert brief(error) == words
