"""Pictures of a prediction: a PNG a video, in a file or a folder where no answer ever takes the place of another."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

from tsn.pipeline.jpeg import decode_jpeg
from tsn.train.answers.prediction import Answer
from tsn.train.pictures import draw_answer
from tsn.tsn_shared.console import printable
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.files import alone, locked, open_regular, writing
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.splits import Clips
from tsn.tsn_shared.views import Snippets, View

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


def draw_answers(
    answers: Sequence[Answer], shards: Sequence[Shard], clips: Clips, *, view: View, snippets: Snippets, png: Path
) -> tuple[Answer, ...]:
    """Draw each video's sampled frames with its answer into `png`, or into pictures in that folder.

    Row for row `clips` are the videos of the answers. Return these with their pictures.
    """
    used, drawn = set[str](), []
    for row, answer in enumerate(answers):
        shard, video = shards[clips.shard[row]], int(clips.video[row])
        indices = view.frame_indices([answer.frames], snippets)[0].tolist()
        first = int(shard.tables.first_frame[video])
        pictures = [decode_jpeg(shard.read(first + index)) for index in indices]
        height, width = pictures[0].shape[:2]
        crop = view.crop_rule([height], [width], None)[0][0, 0].tolist() if view.crops == 1 else None
        source = printable(str(Path(answer.video).absolute()))
        out = _free_name(png, source, answer.video, used) if png.is_dir() else png
        draw_answer(
            pictures,
            [f"frame {index} of {answer.frames}" for index in indices],
            crop,
            [(guess.name, guess.score) for guess in answer.top],
            out,
            title=Path(answer.video).name,
            source=source,
        )
        drawn.append(replace(answer, png=out))
    return tuple(drawn)


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
