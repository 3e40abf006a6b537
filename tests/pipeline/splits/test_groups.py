import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.pipeline.splits.groups import group_of, shared_groups


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("YoYo/v_YoYo_g07_c02", "YoYo/v_YoYo_g07"),
        ("HandstandPushups/v_HandStandPushups_g25_c10", "HandstandPushups/v_HandStandPushups_g25"),
        ("YoYo/some video", None),
        ("YoYo/v_YoYo_g07_c02_cut", None),
    ],
)
def test_group_is_read_from_the_name(name: str, group: str | None) -> None:
    assert group_of(name) == group


@given(train=st.sets(st.integers(1, 9)), test=st.sets(st.integers(1, 9)))
def test_shared_groups_are_those_on_both_sides(train: set[int], test: set[int]) -> None:
    sides = [[f"A/v_A_g{group:02d}_c{clip:02d}" for group in side for clip in (1, 2)] for side in (train, test)]
    assert shared_groups(*sides) == [f"A/v_A_g{group:02d}" for group in sorted(train & test)]
