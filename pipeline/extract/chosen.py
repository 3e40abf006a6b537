"""Some frames of a video, chosen by how many it has: the very bytes that extraction would store of them, no others.

How many frames decode is known at the end only. So they are chosen by what the container declares, while the video is
decoded; where it was wrong (3 % of UCF101's files), or says nothing, the video is decoded once more. Nothing but the
chosen frames is scaled, encoded or kept, however long the video is.
"""

import io
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsn.pipeline.extract.ffmpeg_command import FrameSettings, frames_command
from tsn.pipeline.extract.ffmpeg_output import Marks, read_marks
from tsn.pipeline.extract.ffmpeg_run import (
    Limits,
    Output,
    VideoError,
    memory_file,
    never,
    open_video,
    read_whole,
    running,
)
from tsn.pipeline.extract.frame_folders import list_pictures
from tsn.pipeline.extract.picture_frames import decode_pictures
from tsn.pipeline.extract.video import Decoded, FrameWriter, Run, declared_length, stored_limited_grey, verdict
from tsn.pipeline.jpeg import decode_jpeg

MOST_SELECTED = 256
"""Frames that ffmpeg picks by their numbers, at most: of more it hands on all, and this process picks."""

TRIES = 6
"""How often a video is decoded whose frames are not as many as expected."""

Choose = Callable[[int], Sequence[int]]
"""Returns the numbers of the frames that are wanted of a video of so many, from 0, some perhaps several times."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChosenFrames:
    """What was chosen of a video of `frames` frames: their numbers, their JPEGs, and the note of extraction.

    `size` is their width and height.
    """

    frames: int
    numbers: tuple[int, ...]
    jpegs: tuple[npt.NDArray[np.uint8], ...]
    size: tuple[int, int]
    note: str

    def pictures(self) -> npt.NDArray[np.uint8]:
        """Return the chosen frames, decoded as the loader decodes them: (T, H, W, 3), RGB."""
        decoded = {number: decode_jpeg(jpeg) for number, jpeg in zip(self.numbers, self.jpegs, strict=True)}
        return np.stack([decoded[number] for number in self.numbers])


def decode_chosen(
    path: Path,
    settings: FrameSettings,
    choose: Choose,
    *,
    stop: Callable[[], bool] = never,
    limits: Limits | None = None,
) -> ChosenFrames:
    """Return the frames that are chosen of a video, or of a folder of frames.

    VideoError as extraction fails the video, VideoStoppedError when `stop()` says so.
    """
    out = io.BytesIO()
    if path.is_dir():
        count = len(list_pictures(path).names)
        numbers = choose(count)
        decoded = decode_pictures(path, settings, out, stop=stop, limits=limits, wanted=frozenset(numbers))
        return _chosen(count, numbers, out, decoded)
    expected, in_ffmpeg, grey = _declared_frames(path), True, False
    for _ in range(TRIES):
        out.seek(0)
        out.truncate()
        numbers = choose(expected) if expected else ()
        wanted = sorted(set(numbers))
        in_ffmpeg = in_ffmpeg and len(wanted) <= MOST_SELECTED
        picked = wanted if in_ffmpeg else None
        writer = FrameWriter(out, settings.quality, limited_grey=grey, wanted=None if in_ffmpeg else frozenset(wanted))
        marks, note, is_grey = _decode(path, settings, writer, picked, stop, limits or Limits())
        right = marks.frames == expected and len(writer.sizes) == len(wanted) and (marks.in_step or not in_ffmpeg)
        if right and not is_grey:
            return _chosen(marks.frames, numbers, out, writer.decoded(fps=marks.fps, note=note))
        expected, in_ffmpeg, grey = marks.frames, in_ffmpeg and marks.in_step, grey or (right and is_grey)
    raise VideoError("it has another number of frames whenever it is decoded")


def _declared_frames(path: Path) -> int | None:
    with open_video(path) as video:
        return declared_length(video).frames


def _decode(
    path: Path,
    settings: FrameSettings,
    writer: FrameWriter,
    picked: Sequence[int] | None,
    stop: Callable[[], bool],
    limits: Limits,
) -> tuple[Marks, str, bool]:
    """Decode a video, and give the frames that ffmpeg has `picked`, or all, to a writer.

    Returns the marks of all its frames, the note, and whether it is greyscale whose levels are to be widened.
    """
    with ExitStack() as stack:
        video, marks = stack.enter_context(open_video(path)), stack.enter_context(memory_file())
        declared = declared_length(video)
        process = stack.enter_context(
            running(frames_command([video], marks, settings, chosen=picked), (video, marks), limits)
        )
        output = Output(process, stop, limits, pulse=lambda: os.fstat(marks).st_size)
        broken = writer.take(output)
        status = output.finish()
        marks_of = read_marks(read_whole(marks), 1)
        grey = bool(writer.maybe_limited_grey(marks_of)) and stored_limited_grey(video, stop, limits)
    run = Run(status=status, errors=output.errors, broken=broken)
    return marks_of[0], verdict(marks_of[0].frames, run, declared, marks_of[0]), grey


def _chosen(frames: int, numbers: Sequence[int], out: io.BytesIO, decoded: Decoded) -> ChosenFrames:
    data, ends = out.getvalue(), pairwise(accumulate(decoded.sizes, initial=0))
    jpegs = [np.frombuffer(data[start:end], dtype=np.uint8) for start, end in ends]
    place = {number: rank for rank, number in enumerate(sorted(set(numbers)))}
    return ChosenFrames(
        frames=frames,
        numbers=tuple(numbers),
        jpegs=tuple(jpegs[place[number]] for number in numbers),
        size=(decoded.width, decoded.height),
        note=decoded.note,
    )
