"""Videos of plain colours, one after the other, and a scorer that names them: what happens when is then known."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from tsn.pipeline.extract.ffmpeg_command import FrameSettings
from tsn.tsn_shared.views import VIEWS, Snippets

RATE = 10
"""Frames a second."""


class ColourScorer:
    """Names the colour of a clip by the mean of its pixels: red, green or blue; it notes what it was shown."""

    def __init__(
        self, *, segments: int = 3, length: int = 1, classes: Sequence[str] = ("red", "green", "blue")
    ) -> None:
        self.top, self.at_once = 3, 4
        self.stored = FrameSettings(size=(32, 24), quality=2)
        self.classes = tuple(classes)
        self.words = "protocol val (3 segments, centre crop)"
        self.snippets = Snippets(segments=segments, length=length)
        self.asked: list[int] = []
        self.seen = 0

    def choose(self, frames: int) -> list[int]:
        self.asked.append(frames)
        indices: list[int] = VIEWS["val"].frame_indices([frames], self.snippets)[0].tolist()
        return indices

    def scores(self, clips: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        assert clips.shape[1:] == (self.snippets.frames, 24, 32, 3)
        self.seen += len(clips)
        means = clips.mean(axis=(1, 2, 3)) + 1.0
        shares: npt.NDArray[np.float32] = (means / means.sum(axis=1, keepdims=True)).astype(np.float32)
        return shares


def colour_video(
    out: Path,
    *colours: tuple[str, float],
    size: str = "32x24",
    sound: bool = False,
    codec: Sequence[str] = ("-c:v", "mpeg4", "-q:v", "2"),
) -> Path:
    """Make a video of colours, each for some seconds."""
    parts = [("-f", "lavfi", "-i", f"color={name}:size={size}:rate={RATE}:duration={s}") for name, s in colours]
    tones: list[str] = ["-f", "lavfi", "-i", f"sine=duration={sum(s for _, s in colours)}"] if sound else []
    joined = "".join(f"[{number}:v]" for number in range(len(colours))) + f"concat=n={len(colours)}[v]"
    maps = ["-map", "[v]", *(["-map", f"{len(colours)}:a"] if sound else [])]
    words: list[Any] = [word for part in parts for word in part]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *words, *tones, "-filter_complex", joined, *maps]
    subprocess.run([*command, *codec, str(out)], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return out
