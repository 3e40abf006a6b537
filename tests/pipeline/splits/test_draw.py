from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.pipeline.splits.draw import draw_from_folders, has_split_folders, split_by_folders
from tsn.pipeline.splits.groups import group_of
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import SplitsSettings
from tsn.tsn_shared.splits import SUBSETS, Subset

SIDES: tuple[Subset, ...] = ("train", "test")


def name_of(label: str, group: int, clip: int) -> str:
    return f"{label}/v_{label}_g{group:02d}_c{clip:02d}"


def drawn(names: list[str], **changes: Any) -> dict[str, list[str]]:
    settings = SplitsSettings(**({"split_by": "group"} | changes))
    split = draw_from_folders(names, settings).splits[0]
    return {subset: [clip.path for clip in split.clips[subset]] for subset in SUBSETS}


@given(
    groups=st.dictionaries(
        st.sampled_from(["A", "B", "C"]),
        st.dictionaries(st.integers(1, 30), st.integers(1, 4), min_size=1, max_size=12),
        min_size=1,
    ),
    seed=st.integers(0, 100),
    share=st.floats(0.01, 0.9),
    by=st.sampled_from(["group", "video"]),
)
def test_drawn_split_is_a_partition_that_keeps_its_units_and_its_share(
    groups: dict[str, dict[int, int]], seed: int, share: float, by: str
) -> None:
    names = [
        name_of(label, group, clip + 1)
        for label, of_class in groups.items()
        for group, clips in of_class.items()
        for clip in range(clips)
    ]
    sides = drawn(names, seed=seed, test_share=share, split_by=by)
    assert sorted(sides["train"] + sides["test"]) == sorted(names)
    for label in groups:
        units = [
            {name if by == "video" else group_of(name) for name in sides[subset] if name.startswith(label)}
            for subset in SIDES
        ]
        count = len(units[0] | units[1])
        assert not units[0] & units[1]
        assert len(units[0]) >= 1
        assert len(units[1]) == min(max(round(count * share), 1), count - 1)


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    seed=st.integers(0, 100),
    share=st.floats(0.01, 0.4),
    by=st.sampled_from(["group", "video"]),
)
def test_a_val_is_taken_from_train_by_the_same_rule_and_leaves_the_test_as_it_is(
    counts: list[int], seed: int, share: float, by: str
) -> None:
    names = [name_of("ABC"[c], group, clip) for c, of in enumerate(counts) for group in range(of) for clip in (1, 2)]
    plain = drawn(names, seed=seed, split_by=by)
    sides = drawn(names, seed=seed, split_by=by, val_share=share)
    assert sides["test"] == plain["test"]
    assert sorted(sides["train"] + sides["val"]) == sorted(plain["train"])
    for label, count in zip("ABC", counts, strict=False):
        train, val, test = (
            {name if by == "video" else group_of(name) for name in sides[subset] if name.startswith(label)}
            for subset in SUBSETS
        )
        units = count * (2 if by == "video" else 1)
        assert len(train) >= 1
        assert len(train) + len(val) + len(test) == units
        assert len(val) == min(max(round(units * share), 1), units - 1 - len(test))


def test_a_val_is_stated_and_leaves_something_to_train_on() -> None:
    names = [name_of("A", group, 1) for group in range(10)]
    settings = SplitsSettings(split_by="group", test_share=0.2, val_share=0.1)
    assert (
        draw_from_folders(names, settings).splits[0].source == "drawn by group, test share 0.2, val share 0.1, seed 0"
    )
    with pytest.raises(SettingsError, match=r"--test-share 0\.5 and --val-share 0\.6: together .* at most 0\.9"):
        drawn(names, test_share=0.5, val_share=0.6)


def test_drawn_split_depends_on_the_seed_and_not_on_the_order() -> None:
    names = [name_of("A", group, 1) for group in range(1, 21)]
    assert drawn(names) == drawn(names[::-1])
    assert len({tuple(drawn(names, seed=seed)["test"]) for seed in range(5)}) == 5


def test_another_class_does_not_change_the_draw_of_the_first() -> None:
    names = [name_of("B", group, 1) for group in range(1, 11)]
    more = drawn(names + [name_of("A", group, 1) for group in range(1, 8)])
    assert [name for name in more["test"] if name.startswith("B")] == drawn(names)["test"]


def test_draw_without_groups_or_folders_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"A/film names no group .* --split-by video"):
        drawn(["A/film"])
    with pytest.raises(DataError, match="film lies in no class folder"):
        drawn(["film"], split_by="video")
    with pytest.raises(DataError, match="holds no video"):
        drawn([])


def by_folders(*names: str) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Return the classes, and the clips of each subset that has any."""
    read = split_by_folders(names)
    clips = read.splits[0].clips
    return read.classes, {subset: [clip.path for clip in clips[subset]] for subset in clips if clips[subset]}


@pytest.mark.parametrize("spelled", ["train val test", "Train Valid Test", "training validation testing"])
@pytest.mark.parametrize("above", ["", "UCF-101/", "a/b/"])
def test_folders_above_class_folders_are_the_split(spelled: str, above: str) -> None:
    words = spelled.split()
    names = [f"{above}{word}/{label}/clip{n}" for word in words for label in ("run", "walk") for n in range(2)]
    classes, clips = by_folders(*names)
    assert classes == ("run", "walk")
    for word, subset in zip(words, ("train", "val", "test"), strict=True):
        assert clips[subset] == [name for name in names if f"{above}{word}/" in name]


def test_a_class_in_two_subsets_is_one_class() -> None:
    read = split_by_folders(["train/b/1", "train/a/1", "val/b/2", "val/a/2"])
    assert [clip.label for clip in read.splits[0].clips["val"]] == [1, 0]
    assert read.splits[0].source == "the folders train and val"


def test_videos_beside_the_split_folders_are_left_out_and_told() -> None:
    read = split_by_folders(["train/a/1", "test/a/2", "unlabeled/9", "train/loose"])
    left_out = [(out.path, out.subset) for out in read.splits[0].left_out]
    assert left_out == [("unlabeled/9", None), ("train/loose", "train")]


@pytest.mark.parametrize(
    "names",
    [
        ["run/a", "walk/b"],
        ["train/run/a", "train/walk/b"],  # no other subset: classes below one more folder
        ["train/a", "test/b"],  # classes of these names
        ["bus/1", "train/2", "plane/3"],
        ["a", "b"],
        [],
    ],
)
def test_other_folders_are_no_split(names: list[str]) -> None:
    assert not has_split_folders(names)
    with pytest.raises(DataError, match="no split by folders"):
        split_by_folders(names)


def test_the_same_last_folder_under_two_parents_is_never_two_classes() -> None:
    names = [f"{place}/{label}/{n}" for place in ("indoor", "outdoor") for label in ("run", "walk") for n in range(2)]
    with pytest.raises(DataError, match="indoor/run, outdoor/run, indoor/walk and 1 more have the same last folder"):
        drawn([*names, "indoor/sit/0"], split_by="video")
    with pytest.raises(DataError, match="have the same last folder"):
        split_by_folders([f"{subset}/{name}" for name in names for subset in ("train", "val")])
    with pytest.raises(DataError, match=r"Run, run have the same last folder, .* be it in other capitals"):
        split_by_folders(["train/Run/1", "train/walk/2", "val/run/3"])


def test_a_draw_that_is_asked_for_puts_split_folders_aside_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{subset}/{label}/{n}" for subset in ("train", "test") for label in ("run", "walk") for n in range(5)]
    read = draw_from_folders(names, SplitsSettings(split_by="video"))
    assert read.classes == ("run", "walk")
    assert [len(read.splits[0].clips[subset]) for subset in SIDES] == [14, 6]
    assert "--split-by folder takes them as the split" in capsys.readouterr().err


def test_the_class_is_the_last_folder() -> None:
    assert draw_from_folders(["a/x/YoYo/1", "a/y/Archery/1"], SplitsSettings(split_by="video")).classes == (
        "YoYo",
        "Archery",
    )


def test_a_group_is_kept_whole_whatever_split_folder_its_clips_lie_in() -> None:
    names = [f"{('train', 'test')[clip % 2]}/A/v_A_g{g:02d}_c{clip:02d}" for g in range(10) for clip in range(4)]
    sides = drawn(names)
    groups = [{name.partition("_g")[2][:2] for name in sides[subset]} for subset in SIDES]
    assert [len(group) for group in groups] == [7, 3]
    assert not groups[0] & groups[1]
