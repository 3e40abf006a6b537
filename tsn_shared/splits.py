"""Split files, format 1: which clips train, choose and test, joined to the frames that they refer to.

    /train, /test       name bytes (n), label int32 (n), shard int32 (n), video int32 (n), frames int32 (n)
    /val                the same; there only where the split has validation clips
    /SUBSET/first       int32 (n)       first frame of each clip; there only where a clip begins after frame 0
                                        or ends before its video does
    /class/name         bytes (C)       class names, in the order of the labels
    /shard/name         bytes (K)       file names of the shards referred to
    /shard/sha256       bytes (K)       what their user blocks stated when the split was built
    attributes          format, version, source, complete

`shard` is a row of /shard, `video` a row of that shard's /video, `label` a row of /class. Without `first` a clip is its
whole video and `frames` the number of its frames; with it, a clip is frames `first` to `first + frames - 1` of its
video. Names are read on demand, so a split of millions of clips opens in its number columns.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import numpy.typing as npt

from tsn.tsn_shared import hdf5
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.nearest import absent
from tsn.tsn_shared.settings import DataSettings

KIND = hdf5.Kind(name="tsn-split", version=1)
Subset = Literal["train", "val", "test"]
SUBSETS: tuple[Subset, ...] = ("train", "val", "test")
ALL = slice(None)
"""Every clip."""

_NUMBERS = ("label", "shard", "video", "frames")


def split_name(split: int | str) -> str:
    """Return the file name of a split."""
    return f"split{split}.h5"


@dataclass(frozen=True, kw_only=True, eq=False)
class Clips:
    """The clips of a subset: one row each, every column int32 (n,).

    `first` is the first frame of each clip in its video; None where every clip is its whole video.
    """

    label: npt.NDArray[np.int32]
    shard: npt.NDArray[np.int32]
    video: npt.NDArray[np.int32]
    frames: npt.NDArray[np.int32]
    first: npt.NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: npt.NDArray[np.int64] | slice) -> "Clips":
        """Return some of the clips, in the order asked for."""
        columns = {name: getattr(self, name)[rows] for name in _NUMBERS}
        return Clips(**columns, first=None if self.first is None else self.first[rows])


def no_clips() -> Clips:
    """Return a subset without clips."""
    return Clips(**{name: np.zeros(0, dtype=np.int32) for name in _NUMBERS})


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """A split in memory, without the names of its clips."""

    path: Path
    source: str
    classes: tuple[str, ...]
    shard_names: tuple[str, ...]
    shard_sha256: tuple[str, ...]
    train: Clips
    val: Clips
    test: Clips

    def subset(self, subset: Subset) -> Clips:
        """Return the clips of a subset; SettingsError for what is called otherwise than the three."""
        if subset not in SUBSETS:
            raise SettingsError(f"{self.path}: {subset!r} is no subset: there are {', '.join(SUBSETS)}")
        return {"train": self.train, "val": self.val, "test": self.test}[subset]

    def clips_of(self, subset: Subset) -> Clips:
        """Return the clips of a subset; SettingsError, with the subsets that have some, where it has none."""
        if not len(self.subset(subset)):
            there = " and ".join(name for name in SUBSETS if len(self.subset(name)))
            raise SettingsError(f"{self.path} has no {subset} clips: it has {there or 'none at all'}")
        return self.subset(subset)

    @property
    def choosing(self) -> Subset:
        """The subset that training validates on, which chooses the best epoch: val, or test where there is no val."""
        return "val" if len(self.val) else "test"

    @property
    def scored(self) -> Subset:
        """The subset that `evaluate` scores: test, or val where there is no test."""
        return "test" if len(self.test) or not len(self.val) else "val"

    def names(self, subset: Subset, rows: npt.NDArray[np.int64] | slice = ALL) -> tuple[str, ...]:
        """Read the names of clips from the file, by default of all, in the order asked for; errors as `subset`."""
        if not len(self.subset(subset)):
            return ()
        with hdf5.opened(self.path, KIND) as file:
            column = hdf5.plain_dataset(file, f"{subset}/name", "S")
            if isinstance(rows, slice):
                return hdf5.decode_names(column[rows])
            ordered, inverse = np.unique(rows, return_inverse=True)  # HDF5 wants rising row numbers
            return hdf5.decode_names(column[ordered][inverse]) if len(ordered) else ()

    def names_in_parts(self, subset: Subset, most: int) -> Iterator[tuple[str, ...]]:
        """Read the names of all clips in order, at most so many at a time."""
        rows = len(self.subset(subset))
        if not rows:
            return
        with hdf5.opened(self.path, KIND) as file:
            column = hdf5.plain_dataset(file, f"{subset}/name", "S", rows=rows)
            for start in range(0, rows, most):
                yield hdf5.decode_names(column[start : start + most])

    def train_sha256(self) -> str:
        """Return a digest of the training clips' names in order: what a network has seen."""
        names = self.names("train")
        return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def write_split(
    path: Path,
    *,
    source: str,
    classes: tuple[str, ...],
    shards: dict[str, str],
    clips: dict[Subset, Clips],
    names: dict[Subset, tuple[str, ...]],
) -> None:
    """Write a split whole. `shards` maps the file names of the shards, in row order, to their sealed SHA-256.

    A split without validation clips and without ranges of frames has the same bytes as before there were any.
    """

    def fill(file: h5py.File) -> None:
        file.create_dataset("class/name", data=hdf5.encode_names(classes))
        file.create_dataset("shard/name", data=hdf5.encode_names(list(shards)))
        file.create_dataset("shard/sha256", data=hdf5.encode_names(list(shards.values())))
        for subset in (subset for subset in SUBSETS if subset != "val" or len(clips.get("val", ()))):
            file.create_dataset(f"{subset}/name", data=hdf5.encode_names(names[subset]))
            for number in (*_NUMBERS, *([] if clips[subset].first is None else ["first"])):
                file.create_dataset(f"{subset}/{number}", data=getattr(clips[subset], number).astype(np.int32))
        file.attrs["source"] = source

    hdf5.create(path, KIND, fill)


def read_split(path: Path) -> Split:
    """Read and check a split; DataError says what is wrong with it."""
    with hdf5.opened(path, KIND) as file:
        classes = hdf5.decode_names(hdf5.column(file, "class/name", "S"))
        shards = hdf5.decode_names(hdf5.column(file, "shard/name", "S"))
        digests = hdf5.decode_names(hdf5.column(file, "shard/sha256", "S", rows=len(shards)))
        for name in shards:
            if "/" in name or name in ("", ".", ".."):
                raise DataError(f"{path}: shard name {name!r} is not a plain file name: refused")
        return Split(
            path=path,
            source=hdf5.text_attribute(file, "source"),
            classes=classes,
            shard_names=shards,
            shard_sha256=digests,
            train=_clips(file, "train", classes=len(classes), shards=len(shards)),
            val=_clips(file, "val", classes=len(classes), shards=len(shards)) if _holds(file, "val") else no_clips(),
            test=_clips(file, "test", classes=len(classes), shards=len(shards)),
        )


def open_split(data: DataSettings) -> Split:
    """Read the split that the settings name; DataError says which there are."""
    path = data.splits / split_name(data.split)
    if not path.exists():
        there = sorted(other.stem.removeprefix("split") for other in data.splits.glob(split_name("*")))
        lacks = f"{data.splits} holds no split {data.split} ({path.name})"
        way_out = f"there are {', '.join(there)}" if there else "run tsn build-splits, or name its folder with --splits"
        raise DataError(f"{lacks if data.splits.exists() else absent(data.splits)}: {way_out}")
    return read_split(path)


def _clips(file: h5py.File, subset: Subset, *, classes: int, shards: int) -> Clips:
    rows = len(hdf5.plain_dataset(file, f"{subset}/name", "S"))
    ranges = _holds(file[subset], "first")
    numbers = (*_NUMBERS, "first") if ranges else _NUMBERS
    columns = {n: hdf5.column(file, f"{subset}/{n}", np.int32, rows=rows) for n in numbers}
    bounds = {"label": (0, classes - 1), "shard": (0, shards - 1), "video": (0, None), "frames": (1, None)}
    for name, (low, high) in (bounds | ({"first": (0, None)} if ranges else {})).items():
        if rows and (columns[name].min() < low or (high is not None and columns[name].max() > high)):
            raise DataError(f"{file.filename}, {subset}/{name} is out of range: refused")
    return Clips(**columns)


def _holds(group: h5py.Group, name: str) -> bool:
    """Return whether a group has a member of this name, without following a link, which may lead anywhere."""
    return any(member == name for member in group)
