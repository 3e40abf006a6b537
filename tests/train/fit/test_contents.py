"""A checkpoint as a record and as the file holds it: the same keys in any version that reads it."""

from pathlib import Path

import torch

from tests.train.test_history import row
from tsn.train.data import StoredFrames
from tsn.train.fit.checkpoint import LAST, load_checkpoint
from tsn.train.fit.contents import Checkpoint, Facts, Tally, TrainingState, facts_of
from tsn.tsn_shared.settings import TrainSettings

FACTS = Facts(
    settings=TrainSettings(frames=Path("/frames"), splits=Path("/splits"), lr=0.5),
    classes=("a", "b"),
    frames=StoredFrames(size="64x48", quality=2),
    train_sha256="0" * 64,
    history=(row(0, 0.25), row(1, 0.5)),
    base="/somewhere",
)
STATE = TrainingState(
    model={"w": torch.ones(2)},
    optimizer={"state": {}},
    scaler={},
    position=24,
    step=5,
    tally=Tally(waited=0.5),
)
OLDER = ("settings", "classes", "history")


def test_a_checkpoint_has_the_keys_of_its_format(trained_run: Path) -> None:
    training = ["model", "optimizer", "scaler", "position", "step", "tally"]
    facts = ["settings", "classes", "split", "frames", "train_sha256", "history", "base"]
    assert list(Checkpoint(facts=FACTS, state=STATE).plain()) == [*training, *facts]
    stored = load_checkpoint(trained_run / "checkpoints" / LAST)
    assert list(stored) == ["format", "version", *training, *facts]
    assert list(stored["tally"]) == ["loss", "hits", "clips", "seconds", "waited"]
    assert stored["frames"] == {"size": "64x48", "quality": None}


def test_facts_come_back_as_they_were_and_older_ones_lack_some() -> None:
    plain = Checkpoint(facts=FACTS, state=STATE).plain()
    assert facts_of(plain, Path("a")) == FACTS
    older = facts_of({name: plain[name] for name in OLDER}, Path("a"))
    assert (older.frames, older.train_sha256, older.base) == (None, None, None)
    assert older.history == FACTS.history
