"""What `predict` answers: the best classes of each video, and the videos that gave no frames."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsn.tsn_shared.console import counted, printable, say

LONG = 1_500
"""Frames, a minute of most videos, from which on one answer for all of them says little."""


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A class, and its probability."""

    name: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The best classes of a video of so many frames, best first; `png` is the picture of them, if one was drawn.

    `probabilities` (C,) are those of all classes. `note` tells damage that did not keep the video from an answer, as
    extraction tells it, mostly ''.
    """

    video: str
    frames: int
    top: tuple[Guess, ...]
    probabilities: npt.NDArray[np.float32] = field(repr=False, compare=False)
    note: str = ""
    png: Path | None = None

    def plain(self) -> dict[str, object]:
        """Return it by name, as `--json` prints it."""
        top = [{"class": guess.name, "score": guess.score} for guess in self.top]
        answer: dict[str, object] = {"video": self.video, "frames": self.frames, "top": top}
        answer |= {"note": self.note} if self.note else {}
        return answer if self.png is None else answer | {"png": str(self.png)}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A video that gave no frames, and why."""

    video: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a checkpoint says of videos: an answer for each that gave frames, `failed` for the others.

    `words` say how they were scored.
    """

    checkpoint: Path
    trained_on_split: str
    protocol: str
    num_segments: int
    words: str
    answers: tuple[Answer, ...]
    failed: tuple[Failure, ...]

    def plain(self) -> dict[str, object]:
        """Return it by name, as `--json` prints it."""
        return {
            "checkpoint": str(self.checkpoint),
            "trained_on_split": self.trained_on_split,
            "protocol": self.protocol,
            "num_segments": self.num_segments,
            "words": self.words,
            "clips": len(self.answers),
            "videos": [answer.plain() for answer in self.answers],
            "failed": [asdict(failure) for failure in self.failed],
        }


def headline(words: str, split: str, videos: int) -> str:
    """Return what answers are about, before the first."""
    return f"{words}, trained on split {split}, {counted(videos, 'video')}"


def describe(result: Answer | Failure) -> str:
    """Return an answer for a person, in percent, with the damage of its video; or why there is none."""
    name = printable(result.video)
    if isinstance(result, Failure):
        return f"{name}: failed: {printable(result.reason)}"
    note = f"; {printable(result.note)}" if result.note else ""
    lines = [f"{name} ({result.frames} frames{note})"]
    return "\n".join([*lines, *(f"  {guess.score:7.2%}  {guess.name}" for guess in result.top)])


def hint_at_time(answers: Sequence[Answer]) -> None:
    """Say how to ask what happens when, where videos are long for one answer."""
    long = sum(answer.frames > LONG for answer in answers)
    if long:
        frames = f"{counted(long, 'video')} of more than {LONG:,} frames, one answer for all of it"
        say(f"{frames}: --every 1s tells what happens when")
