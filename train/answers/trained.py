"""A trained network loaded from a checkpoint, with the settings and facts that its answers depend on."""

from dataclasses import dataclass, replace
from pathlib import Path

from tsn.train.data import StoredFrames
from tsn.train.fit.checkpoint import find_checkpoint, load_checkpoint
from tsn.train.fit.contents import facts_of, weights_of
from tsn.train.fit.weights_file import read_weights_file
from tsn.train.network.model import TSN, network_with, shapes_of
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import ExtractSettings, TrainSettings
from tsn.tsn_shared.splits import Split, open_split


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedNetwork:
    """A network in evaluation mode, from a checkpoint.

    `frames` says how the frames that it learned from were made, and `train_sha256` is the digest of the names of the
    clips that it learned from; older checkpoints state neither.
    """

    path: Path
    network: TSN
    settings: TrainSettings
    classes: tuple[str, ...]
    epoch: int | None
    frames: StoredFrames
    train_sha256: str | None

    @property
    def run(self) -> Path:
        """The folder of the run that the checkpoint lies in."""
        return self.path.parent.parent if self.path.parent.name == "checkpoints" else self.path.parent

    def segments(self, asked: int | None, *, usual: int | None = None) -> int:
        """Return how many segments it is asked about: those `asked` for, the `usual` ones, or those of its training.

        A network that shifts in time has learned from clips of just so many, and keeps to them in every protocol:
        SettingsError where others are asked for.
        """
        own = self.settings.segments
        if not self.settings.shift:
            return asked or usual or own
        if asked not in (None, own):
            raise SettingsError(f"--num-segments {asked}: {self.path} learned with --shift from {own}: leave it out")
        return own

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """Height and width of the frames that it learned from; None where they had many sizes, or are not stated."""
        return height_and_width(self.frames.size)


def height_and_width(size: str) -> tuple[int, int] | None:
    """Return the height and width of a size that is written WIDTHxHEIGHT; None for native."""
    parsed = ExtractSettings(size=size).frame_size
    return None if parsed is None else (parsed[1], parsed[0])


def load_trained(checkpoint: Path) -> TrainedNetwork:
    """Load a checkpoint, the best one of a run folder, or a run's model.safetensors; DataError says what is wrong.

    The network takes its weights as they were read, once they fit: what a file claims of its classes takes no memory.
    """
    path = find_checkpoint(checkpoint)
    found = read_weights_file(path) if path.suffix == ".safetensors" else load_checkpoint(path)
    facts = facts_of(found, path)
    shapes = shapes_of(facts.settings, len(facts.classes))
    weights = weights_of(found, shapes.state_dict(), path)
    network = network_with(weights, shapes, facts.settings, len(facts.classes))
    return TrainedNetwork(
        path=path,
        network=network.eval(),
        settings=facts.settings,
        classes=facts.classes,
        epoch=facts.history[-1].epoch if facts.history else None,
        frames=facts.frames or StoredFrames(),
        train_sha256=facts.train_sha256,
    )


def settings_for(
    trained: TrainedNetwork,
    *,
    frames: Path | None = None,
    splits: Path | None = None,
    split: str | None = None,
    other_split: bool = False,
) -> TrainSettings:
    """Return the checkpoint's settings with other data where stated; another split is refused unless `other_split`.

    DataError where there is no such split to refuse.
    """
    own = trained.settings
    data = replace(own, frames=frames or own.frames, splits=splits or own.splits, split=split or own.split)
    if split is not None and split != own.split and not other_split:
        open_split(data)  # where there is no such split, that is what is wrong
        raise SettingsError(
            f"{trained.path} was trained on split {own.split}: test clips of split {split} were among its training "
            "clips; evaluate it on its own, or say --other-split"
        )
    return data


def learned_from(trained: TrainedNetwork, split: Split) -> bool:
    """Whether a network learned from just the training clips of a split, as far as its checkpoint says."""
    return trained.train_sha256 in (None, split.train_sha256())


def check_split(trained: TrainedNetwork, split: Split, *, other_split: bool) -> None:
    """Refuse a split of other classes, or one that goes by the right name but trains on other clips."""
    if split.classes != trained.classes[: len(split.classes)]:
        raise SettingsError(
            f"{split.path} has other classes ({len(split.classes)}) than {trained.path} ({len(trained.classes)}): "
            "evaluate it on its own split"
        )
    if not learned_from(trained, split) and not other_split:
        raise SettingsError(
            f"{split.path} is not the split that {trained.path} was trained on: it trains on other clips, so its test "
            "clips may be among those learned from; name the right --splits, or say --other-split"
        )
