"""Pictures of a prediction: a PNG a video, in a file or a folder where no answer ever takes the place of another."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsn.train.answers.prediction import Answer
from tsn.train.pictures import draw_answer
from tsn.tsn_shared.console import printable
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.files import alone, locked, open_regular, writing
from tsn.tsn_shared.views import View

WAY_OUT = "set another --png"
LONGEST = 240
"""Bytes of a video's name that its picture keeps."""


@contextmanager
def holding(png: Path | None, videos: int) -> Iterator[None]:
    """Be the only one who draws there; SettingsError where `png` is no place for pictures of so many videos."""
    if png is None:
        yield
    elif png.suffix == ".png" and not png.is_dir():
        if videos > 1:
            raise SettingsError(f"--png {png}: {videos} videos need a folder, one picture each")
        with alone(png, WAY_OUT):
            yield
    elif png.suffix and not png.is_dir():
        raise SettingsError(f"--png {png}: it must end in .png, or be a folder")
    else:
        with ExitStack() as stack:
            with writing(png, WAY_OUT):
                busy = f"{png} is in use by another tsn: wait for it, or {WAY_OUT}"
                stack.enter_context(locked(png, busy))
            yield


class AnswerPictures:
    """Draws answers into `png`, one picture, or into pictures in that folder."""

    def __init__(self, png: Path, view: View) -> None:
        self._png, self._view = png, view
        self._used = set[str]()

    def draw(self, answer: Answer, numbers: Sequence[int], pictures: npt.NDArray[np.uint8]) -> Answer:
        """Draw a video's frames of these numbers, (T, H, W, 3), with its answer, which is returned with its picture."""
        crop, (height, width) = None, pictures.shape[1:3]
        if self._view.crops == 1:
            crop = self._view.crop_rule([height], [width], None)[0][0, 0].tolist()
        source = printable(str(Path(answer.video).absolute()))
        out = self._png
        with writing(self._png, WAY_OUT):
            if self._png.is_dir():
                out = _free_name(self._png, source, answer.video, self._used)
            draw_answer(
                list(pictures),
                [f"frame {number} of {answer.frames}" for number in numbers],
                crop,
                [(guess.name, guess.score) for guess in answer.top],
                out,
                title=Path(answer.video).name,
                source=source,
            )
        return replace(answer, png=out)


def _free_name(folder: Path, source: str, video: str, used: set[str]) -> Path:
    """Return where the picture of a video goes: NAME.png, NAME-2.png, ..., the first that no other video has."""
    stem = os.fsdecode(os.fsencode(Path(video).stem)[:LONGEST])
    for number in count(1):
        path = folder / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
        name = path.name.casefold()  # some file systems take A.png for a.png
        if name not in used and (not os.path.lexists(path) or _shows(path) == source):
            used.add(name)
            break
    return path


def _shows(path: Path) -> str | None:
    """Return the video whose answer a picture shows; None where it is none of ours."""
    from PIL import Image

    try:
        with open_regular(path) as file, Image.open(file, formats=["PNG"]) as picture:
            return picture.info.get("Source")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
