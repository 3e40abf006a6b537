"""Splits that no list says: drawn by group or by video, or as folders train/, val/, test/ say.

The class of a video is the last folder above it, as it is in lists.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

from tsn.pipeline.splits.class_names import alike
from tsn.pipeline.splits.groups import group_of
from tsn.pipeline.splits.listed import SUBSET_WORDS, Annotations, LeftOut, ListedClip, ListedSplit
from tsn.tsn_shared.console import say, some
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import SplitsSettings
from tsn.tsn_shared.splits import SUBSETS, Subset

MOST_HELD_OUT = 0.9
"""Share of a class that is not trained on, at most."""


def has_split_folders(names: Iterable[str]) -> bool:
    """Return whether videos lie in class folders below train/ and one of val/ and test/."""
    subsets = {
        SUBSET_WORDS.get(folders[0].casefold()) for folders in _below_the_common_folder(names).values() if folders[1:]
    }
    return "train" in subsets and bool(subsets & {"val", "test"})


def lone_split_folder(names: Iterable[str]) -> str:
    """Return train, val or test where all videos lie in class folders below that one alone, '' where they do not."""
    above = {name.rpartition("/")[0].rpartition("/")[0].rpartition("/")[2] for name in names}
    return above.pop() if len(above) == 1 and min(above).casefold() in SUBSET_WORDS else ""


def split_by_folders(names: Sequence[str]) -> Annotations:
    """Take the folders train/, val/ (valid, validation) and test/ above class folders as the split."""
    folders_of = _below_the_common_folder(names)
    if not has_split_folders(names):
        raise DataError(
            "no split by folders: videos lie as train/CLASS/VIDEO and val/CLASS/VIDEO or test/CLASS/VIDEO; "
            f"here {some(sorted({name.rpartition('/')[0] or 'no folder' for name in names}))}"
        )
    clips: dict[Subset, list[ListedClip]] = {subset: [] for subset in SUBSETS}
    left_out, placed = [], list[tuple[Subset, str]]()
    for name, folders in folders_of.items():
        subset = SUBSET_WORDS.get(folders[0].casefold()) if folders else None
        if subset is None or not folders[1:]:
            left_out.append(LeftOut(subset, name, "in no class folder below train, val or test"))
        else:
            placed.append((subset, name))
    _refuse_same_last_folders({"/".join(folders_of[name][1:]) for _, name in placed})
    classes = tuple(sorted({folders_of[name][-1] for _, name in placed}))
    labels = {name: label for label, name in enumerate(classes)}
    for subset, name in placed:
        clips[subset].append(ListedClip(name, labels[folders_of[name][-1]]))
    source = f"the folders {' and '.join(dict.fromkeys(folders_of[name][0] for _, name in placed))}"
    split = ListedSplit(
        name="1",
        source=source,
        clips={subset: tuple(clips[subset]) for subset in SUBSETS},
        left_out=tuple(left_out),
    )
    return Annotations(classes=classes, splits=(split,))


def draw_from_folders(names: Iterable[str], settings: SplitsSettings) -> Annotations:
    """Draw split 1 from videos in class folders, as `_draw` does."""
    names = sorted(names)
    classes: dict[str, list[str]] = {}
    places = _without_split_folders(names)
    for name in names:
        folder, _, video = name.rpartition("/")
        if not folder:
            raise DataError(
                f"{video} lies in no class folder: a split is drawn from folders named after their class; for videos "
                "that are all in one folder, name a list of their classes, as videos.csv with lines `path,label`"
            )
        classes.setdefault(folder.rpartition("/")[2], []).append(name)
    if not classes:
        raise DataError(f"{settings.frames} holds no video to draw a split from")
    _refuse_same_last_folders({place.rpartition("/")[0] for place in places.values()})
    units: Units = [{} for _ in classes]
    for label, videos in enumerate(classes.values()):
        for name in videos:
            unit = _unit(name, places[name], settings)
            units[label].setdefault(unit, []).append(ListedClip(name, label))
    return Annotations(classes=tuple(classes), splits=(_draw(units, settings),))


def draw_from_list(listed: Annotations, settings: SplitsSettings) -> Annotations:
    """Draw split 1, as `_draw` does, from the clips of one list; the clips of a video stay together."""
    (all_of,) = listed.splits
    units: Units = [{} for _ in listed.classes]
    for clip in sorted(chain(*all_of.clips.values()), key=lambda clip: (clip.path, clip.start or 0.0)):
        units[clip.label].setdefault(_unit(clip.path, clip.name, settings), []).append(clip)
    drawn = _draw(units, settings)
    source = f"{all_of.source}, {drawn.source}"
    return replace(listed, splits=(replace(drawn, source=source, files=all_of.files, left_out=all_of.left_out),))


Units = list[dict[str, list[ListedClip]]]
"""For each label the groups or videos, by their names, that a draw keeps whole."""


def _unit(name: str, place: str, settings: SplitsSettings) -> str:
    unit = name if settings.split_by == "video" else group_of(place)
    if unit is None:
        raise DataError(f"{name} names no group (..._g01_c01): use --split-by video, or lists of your own")
    return unit


def _draw(units: Units, settings: SplitsSettings) -> ListedSplit:
    """Draw a split: `settings.test_share` of each class's groups (or videos) test.

    The groups or videos of a class are put in the order of a digest of (seed, its name): a pure function of both, so
    that a video more or less moves few others. Those after the test ones are val, `settings.val_share` of the class
    and at least one where that is not 0. A class of one group trains only, and one of two has no val.
    """
    if settings.test_share + settings.val_share > MOST_HELD_OUT:
        raise SettingsError(
            f"--test-share {settings.test_share:g} and --val-share {settings.val_share:g}: "
            f"together they must be at most {MOST_HELD_OUT}"
        )
    clips: dict[Subset, list[ListedClip]] = {subset: [] for subset in SUBSETS}
    for videos in units:
        order = sorted(videos, key=lambda unit: hashlib.sha256(os.fsencode(f"{settings.seed} {unit}")).digest())
        tests = min(max(round(len(order) * settings.test_share), 1), len(order) - 1)
        vals = min(max(round(len(order) * settings.val_share), 1), len(order) - 1 - tests) if settings.val_share else 0
        held_out: dict[str, Subset] = dict.fromkeys(order[:tests], "test")
        held_out |= dict.fromkeys(order[tests : tests + vals], "val")
        for unit, members in videos.items():
            clips[held_out.get(unit, "train")] += members
    shares = f"test share {settings.test_share}" + (f", val share {settings.val_share}" if settings.val_share else "")
    source = f"drawn by {settings.split_by}, {shares}, seed {settings.seed}"
    return ListedSplit(name="1", source=source, clips={subset: tuple(clips[subset]) for subset in SUBSETS})


def _without_split_folders(names: Sequence[str]) -> dict[str, str]:
    """Return each video's path without train/, val/, test/ above its class: a draw puts these aside."""
    if not has_split_folders(names):
        return {name: name for name in names}
    say("the folders train, val, test are put aside, as --split-by asks: --split-by folder takes them as the split")
    below = _below_the_common_folder(names)
    return {name: "/".join([*(folders[1:] or folders), name.rpartition("/")[2]]) for name, folders in below.items()}


def _below_the_common_folder(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the folders above each video, without those that are above all of them."""
    folders_of = {name: name.split("/")[:-1] for name in names}
    lowest, highest = min(folders_of.values(), default=[]), max(folders_of.values(), default=[])
    common = 0  # what the first and the last in order have in common, all between them have
    while common < min(len(lowest), len(highest)) and lowest[common] == highest[common]:
        common += 1
    return {name: folders[common:] for name, folders in folders_of.items()}


def _refuse_same_last_folders(folders: Iterable[str]) -> None:
    """Refuse classes that differ in their parents alone: nobody can tell whether two are meant, or one."""
    parents: dict[str, list[str]] = {}
    for folder in sorted(folders):
        parents.setdefault(alike(folder.rpartition("/")[2]), []).append(folder)
    if same := [folder for group in parents.values() if len(group) > 1 for folder in group]:
        raise DataError(
            f"{some(same)} have the same last folder, the name of the class, be it in other capitals: move "
            "their videos into one folder where they are one class, give them other names where they are two, or "
            "write lists"
        )
