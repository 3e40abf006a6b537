"""How videos and streams are answered: the options of `tsn predict`."""

import re
from dataclasses import dataclass
from pathlib import Path

from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.fields import Settings, setting
from tsn.tsn_shared.settings import ScoreSettings


@dataclass(frozen=True, kw_only=True)
class OverTimeSettings(Settings):
    """How a video, or a stream, is answered over time."""

    every: str | None = setting(
        None,
        "Answers over time: a window every so long, as 1s or 500ms; a bare number is seconds. A stream's is 1s.",
        metavar="TIME",
    )
    window: str = setting("4s", "Length of a window, which is scored like a clip of that length.", metavar="TIME")
    min_score: float = setting(0.0, "Moments whose best class has less are in no segment.", low=0, high=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_seconds("--every", self.every or EVERY, low=0.1, high=3600)
        _check_seconds("--window", self.window, low=0.1, high=600)

    @property
    def step(self) -> float:
        """Seconds from the begin of a window to that of the next."""
        return _seconds(self.every or EVERY) or 0.0

    @property
    def length(self) -> float:
        """Seconds of a window."""
        return _seconds(self.window) or 0.0


@dataclass(frozen=True, kw_only=True)
class PredictSettings(OverTimeSettings, ScoreSettings):
    """How videos are answered, and what becomes of the answers."""

    top: int = setting(5, "Classes to name; over time so many are in --json, while the text names the best.", low=1)
    png: Path | None = setting(None, "Draw the sampled frames with the answer under them.", metavar="FILE.png|DIR")
    why: Path | None = setting(
        None, "Draw where the network looked, by Grad-CAM, over the sampled frames of a video.", metavar="FILE.png"
    )
    out: tuple[Path, ...] = setting(
        (),
        "Write the answers to a .jsonl or .csv file; run again, it goes on there. Over time: .jsonl, .csv, .srt, a "
        "timeline as .png, or the video with its labels as .mp4; several --out for several.",
        metavar="FILE",
    )


EVERY = "1s"
"""Windows of a stream, where nothing is said."""

UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0}


def _seconds(text: str) -> float | None:
    """Return the seconds of a time such as 1.5s, 500ms or 2min; None where it is none."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?) ?([a-z]*)", text)
    return float(found[1]) * UNITS[found[2]] if found and found[2] in UNITS else None


def _check_seconds(flag: str, text: str, *, low: float, high: float) -> None:
    seconds = _seconds(text)
    if seconds is None or not low <= seconds <= high:
        raise SettingsError(f"{flag} {text}: it is a time from {low:g}s to {high:g}s, such as 1s or 500ms")
