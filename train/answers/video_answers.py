"""Answers for many videos, in their order and as they come: decoded ahead by threads, scored some at a time.

However many there are, and however long: of each only the frames that are shown are kept, and only of some videos at
once. Nothing goes to the disk.
"""

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt

from tsn.pipeline.extract.chosen import ChosenFrames, decode_chosen
from tsn.pipeline.extract.ffmpeg_run import VideoError
from tsn.pipeline.extract.videos import Source, find_videos
from tsn.pipeline.extract.workers import decoder_threads
from tsn.pipeline.loading.reader import MOST_DECODED
from tsn.train.answers.prediction import Answer, Failure
from tsn.train.answers.predictor import Predictor
from tsn.tsn_shared.console import say
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.nearest import absent

AHEAD = 4
"""Videos that are decoded, or being decoded, for each decoder and not yet scored."""

MOST_BYTES = 64 << 20
"""Of the decoded frames of videos that are scored together, if they are several."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """An answer, and the frames that it is about: their numbers (T,) in the video, and pictures (T, H, W, 3)."""

    answer: Answer
    numbers: tuple[int, ...]
    pictures: npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shown:
    """A video whose frames are chosen, with their width and height, or why it failed."""

    source: Source
    found: ChosenFrames | str
    size: tuple[int, int] = (0, 0)


def answer_videos(
    predictors: Sequence[Predictor], sources: Sequence[Source]
) -> Generator[Answered | Failure, None, None]:
    """Yield the answer for each video, or why it failed, in their order.

    `predictors` are the same network on several devices, which score in turns.
    """
    jobs, stop = len(os.sched_getaffinity(0)), Event()
    left, turns = iter(sources), cycle(predictors)
    show = partial(_show, predictors[0], stop)
    decoding, scoring = deque[Future[_Shown]](), deque[Future[list[Answered | Failure]]]()
    with decoder_threads(jobs) as decoders, ThreadPoolExecutor(len(predictors), thread_name_prefix="tsn-score") as pool:
        try:
            while True:
                for source in islice(left, AHEAD * jobs - len(decoding)):
                    decoding.append(decoders.submit(show, source))
                awaited: list[Future[Any]] = [decoding[0]] if decoding and len(scoring) < len(predictors) else []
                if not (awaited or scoring):
                    return
                wait(awaited + list(islice(scoring, 1)), return_when=FIRST_COMPLETED)
                if scoring and scoring[0].done():
                    yield from scoring.popleft().result()
                elif awaited:
                    predictor = next(turns)
                    scoring.append(pool.submit(_answers, predictor, _next_batch(decoding, predictor)))
        finally:
            stop.set()
            decoders.shutdown(wait=False, cancel_futures=True)


def _show(predictor: Predictor, stop: Event, source: Source) -> _Shown:
    """Decode the frames of a video that are shown."""
    try:
        found = decode_chosen(source.path, predictor.stored, predictor.choose, stop=stop.is_set)
    except VideoError as error:
        return _Shown(source=source, found=str(error))
    decoded = _bytes(predictor, found.size)
    if decoded > MOST_DECODED:
        large = f"the frames that are shown are {decoded / (1 << 30):,.1f} GiB when they are decoded"
        return _Shown(source=source, found=f"{large}, more than a quarter of this machine's memory")
    return _Shown(source=source, found=found, size=found.size)


def _bytes(predictor: Predictor, size: tuple[int, int]) -> int:
    """Return the bytes of the decoded frames that are shown of a video, of this width and height."""
    return 3 * size[0] * size[1] * predictor.snippets.frames


def _next_batch(decoding: "deque[Future[_Shown]]", predictor: Predictor) -> list[_Shown]:
    """Take the first video, and those after it that are ready and can be scored with it."""
    batch = [decoding.popleft().result()]
    size = batch[0].size
    most = min(predictor.at_once, MOST_BYTES // max(1, _bytes(predictor, size)))
    while len(batch) < most and decoding and decoding[0].done() and decoding[0].result().size == size:
        batch.append(decoding.popleft().result())
    return batch


def _answers(predictor: Predictor, batch: Sequence[_Shown]) -> list[Answered | Failure]:
    """Score videos whose frames have one size; or they all failed."""
    shown = [(each.source, each.found) for each in batch if isinstance(each.found, ChosenFrames)]
    if not shown:
        return [Failure(video=each.source.name, reason=str(each.found)) for each in batch]
    results = list[Answered | Failure]()
    clips = np.stack([found.pictures() for _, found in shown])
    for (source, found), clip, probabilities in zip(shown, clips, predictor.scores(clips), strict=True):
        answer = predictor.answer(probabilities, frames=found.frames, video=source.name, note=found.note)
        results.append(Answered(answer=answer, numbers=found.numbers, pictures=clip))
    return results


def sources_of(videos: Sequence[Path]) -> list[Source]:
    """Return the videos that the paths name, folders opened, each called by its path; DataError for a missing one."""
    paths = list[Path]()
    for path in videos:
        if path.is_dir():
            found = find_videos(path)
            if found.unread:
                say(found.unread)
            paths += [source.path for source in found.videos]
        elif not path.exists():
            raise DataError(absent(path))
        else:
            paths.append(path)
    return [Source(name=str(path), path=path) for path in dict.fromkeys(paths)]
