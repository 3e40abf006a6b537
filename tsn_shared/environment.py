"""Numbers that a launcher states in the environment, read in one place and checked."""

import os

from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.schema import shown

MOST_RANKS = 10**6


def whole(name: str, default: int, *, low: int = 0, high: int = MOST_RANKS) -> int:
    """Return the whole number that a variable states, from `low` to `high`; `default` where it is not set.

    SettingsError for anything else.
    """
    stated = os.environ.get(name)
    if stated is None:
        return default
    number = int(stated) if stated.isdecimal() and len(stated) < 20 else -1
    if not low <= number <= high:
        raise SettingsError(f"{name} is {shown(stated)} in the environment: it must be a whole number, {low} to {high}")
    return number
