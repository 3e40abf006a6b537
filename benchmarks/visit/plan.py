"""What the stages of a visit share: sizes, figures, and where things lie."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything: the real thing, or what a CPU does in seconds."""

    model: str = "vgg16"
    learner: str = "vgg16_bn"
    input_size: int = 224
    segments: int = 3
    batch: int = 25
    batches: tuple[int, ...] = (25, 100)
    epoch: tuple[int, int] = (9_537, 3_783)  # train and test clips of UCF101's split 1
    lesson: tuple[int, int] = (1_000, 25)  # 40 steps an epoch
    lessons: int = 5
    epochs: int = 10
    matmul: int = 8_192
    seconds: float = 2.5


TINY = Sizes(
    model="resnet18",
    learner="resnet18",
    input_size=32,
    batch=5,
    epoch=(30, 10),
    lesson=(20, 5),
    lessons=2,
    epochs=5,
    matmul=256,
    seconds=0.2,
)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure with its unit and, where there is one, the aim: at least `least` or at most `most`; or just words."""

    name: str
    value: float | None = None
    unit: str = ""
    least: float | None = None
    most: float | None = None
    words: str = ""

    @property
    def shown(self) -> str:
        """The figure as it stands in a table."""
        if self.value is None:
            return self.words
        if isinstance(self.value, int):
            return f"{self.value:,}"
        digits = 0 if abs(self.value) >= 1000 else 1 if abs(self.value) >= 10 else 3
        return f"{self.value:,.{digits}f}"

    @property
    def aim(self) -> str:
        """The aim as it stands in a table."""
        if self.least is not None:
            return f"at least {self.least:g}"
        return f"at most {self.most:g}" if self.most is not None else ""

    @property
    def verdict(self) -> str:
        """Whether the aim is met."""
        if self.value is None or not self.aim:
            return ""
        low = self.least is None or self.value >= self.least
        return "met" if low and (self.most is None or self.value <= self.most) else "MISSED"


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What all stages share: a folder for what they make, and the data; without `frames` a set is drawn."""

    folder: Path
    frames: Path | None
    splits: Path | None
    rehearse: bool

    @property
    def sizes(self) -> Sizes:
        """How much of everything."""
        return TINY if self.rehearse else Sizes()

    @property
    def device(self) -> "torch.device":
        """Where the stages run."""
        import torch

        return torch.device("cpu") if self.rehearse else torch.device("cuda", 0)

    @property
    def shards(self) -> Path:
        """The folder of frame shards."""
        return self.frames or self.folder / "data" / "frames"

    def encode(self) -> str:
        """Return the visit as a word of a command line."""
        return json.dumps({name: str(v) if isinstance(v, Path) else v for name, v in asdict(self).items()})

    @classmethod
    def decode(cls, word: str) -> "Visit":
        """Undo `encode`."""
        plain = json.loads(word)
        paths = {name: Path(plain[name]) if plain[name] else None for name in ("folder", "frames", "splits")}
        return cls(**(plain | paths))

    def note(self, stage: str, figure: Figure) -> None:
        """Write a figure down at once."""
        with (self.folder / f"{stage}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(figure)) + "\n")

    def figures(self, stage: str) -> list[Figure]:
        """Return what a stage has written down."""
        path = self.folder / f"{stage}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [Figure(**json.loads(line)) for line in lines]
