"""What a training must know of its data before it opens the loader; without torch, so that mistakes are told soon."""

from dataclasses import asdict, dataclass, replace

from tsn.pipeline.loading.balance import epoch_order
from tsn.pipeline.loading.reader import check_shards
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.files import found_from
from tsn.tsn_shared.hdf5 import read_seal
from tsn.tsn_shared.settings import MOST_CLASSES, DataSettings, TrainSettings
from tsn.tsn_shared.shards import read_tables
from tsn.tsn_shared.splits import KIND, Split, open_split


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """What tells a split from another: where it is, its sealed SHA-256, and how many clips it has.

    `best_epoch` says on which of them the best epoch is chosen.

    Runs of older versions may state neither path nor SHA-256.
    """

    path: str | None = None
    sha256: str | None = None
    train: int
    val: int = 0
    test: int
    best_epoch: str = ""

    def plain(self) -> dict[str, object]:
        """Return the facts by name, as config.json holds them."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class StoredFrames:
    """How a split's frames were made: `size`, WIDTHxHEIGHT of all or native, and their `quality` if known."""

    size: str = "native"
    quality: int | None = None

    def plain(self) -> dict[str, object]:
        """Return the facts by name, as a checkpoint holds them."""
        return asdict(self)


def check_data(settings: TrainSettings) -> Split:
    """Open the split of a training whose data are all there; DataError or SettingsError says what is wrong with them.

    The frames themselves are checked as they are read.
    """
    split = open_split(settings)
    class_names(split, settings)
    check_shards(split, settings.frames)
    return split


def class_names(split: Split, settings: TrainSettings) -> tuple[str, ...]:
    """Return the names of the network's classes: the split's, with numbers for classes beyond them."""
    asked = settings.num_classes
    if len(split.classes) > MOST_CLASSES:
        raise SettingsError(f"{split.path} has {len(split.classes)} classes: {MOST_CLASSES} are the most")
    if asked is None or asked == len(split.classes):
        return split.classes
    if asked < len(split.classes):
        raise SettingsError(f"--num-classes {asked}: {split.path} has {len(split.classes)} classes")
    return (*split.classes, *(f"class{number}" for number in range(len(split.classes), asked)))


def with_data_from(settings: TrainSettings, base: str | None) -> TrainSettings:
    """Return the settings of a training that was started in the folder `base`, with its data where they are."""
    return replace(settings, frames=found_from(settings.frames, base), splits=found_from(settings.splits, base))


def split_facts(split: Split) -> SplitFacts:
    """Return what tells a split from another."""
    digest = read_seal(split.path, KIND).sha256
    return SplitFacts(
        path=str(split.path),
        sha256=digest,
        train=len(split.train),
        val=len(split.val),
        test=len(split.test),
        best_epoch=how_best_is_chosen(split),
    )


def how_best_is_chosen(split: Split) -> str:
    """Say on which clips the best epoch is chosen, and whether `evaluate` scores the same."""
    choosing, scored = len(split.subset(split.choosing)), len(split.subset(split.scored))
    if not choosing:
        return "no best epoch is chosen: there are no clips to validate on"
    chosen = f"the best epoch is chosen on the {choosing} {split.choosing} clips"
    if split.choosing != split.scored:
        return f"{chosen}, evaluate scores the {scored} {split.scored} clips"
    other = "val" if split.scored == "test" else "test"
    return f"{chosen}, which evaluate scores as well: there are no {other} clips"


def stored_frames(split: Split, data: DataSettings) -> StoredFrames:
    """Return how a split's frames were made, as its first shard says."""
    if not split.shard_names or not (data.frames / split.shard_names[0]).exists():  # check_shards reports that
        return StoredFrames()
    tables = read_tables(data.frames / split.shard_names[0])
    sizes = set(zip(tables.width.tolist(), tables.height.tolist(), strict=True))
    one = tables.settings.get("size") != "native" and len(sizes) == 1
    size = "{}x{}".format(*sizes.pop()) if one else "native"
    return StoredFrames(size=size, quality=tables.settings.get("quality"))


def clip_names(split: Split, settings: TrainSettings, positions: list[int]) -> list[str]:
    """Return the names of the clips at these positions of the training stream."""
    size, names = len(split.train), []
    for position in positions:
        epoch, place = divmod(position, size)
        row = epoch_order(split.train.label, seed=settings.seed, epoch=epoch, balance=settings.balance)[place]
        names.append(split.names("train", slice(row, row + 1))[0])
    return names
