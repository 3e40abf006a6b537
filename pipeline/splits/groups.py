"""Groups: the footage that clips were cut from, as UCF101 names it; those of one belong on one side of a split."""

import re
from collections.abc import Sequence


def group_of(name: str) -> str | None:
    """Return the group of a clip, the footage that it was cut from, as UCF101 names it (`..._g07_c02`), else None."""
    match = re.fullmatch(r"(.*_g\d+)_c\d+", name)
    return match[1] if match else None


def shared_groups(train: Sequence[str], test: Sequence[str]) -> list[str]:
    """Return the groups that have clips on both sides of a split: their footage leaks from train to test."""
    sides = [{group for group in map(group_of, names) if group is not None} for names in (train, test)]
    return sorted(sides[0] & sides[1])
