"""Prediction: a trained network's answers for videos, as a command tells them, and for arrays.

From Python: `tsn.Predictor(run)`, or `predict(load_trained(run), frames)`.
"""

import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tsn.pipeline.extract.videos import Source
from tsn.train.answers.answer_file import AnswerFile, answer_file
from tsn.train.answers.passes import refuse_launched
from tsn.train.answers.predict_pictures import AnswerPictures, holding
from tsn.train.answers.prediction import Answer, Failure, Prediction, describe, headline
from tsn.train.answers.predictor import Predictor
from tsn.train.answers.trained import TrainedNetwork, load_trained
from tsn.train.answers.video_answers import answer_videos, sources_of
from tsn.train.ranks.devices import count_gpus
from tsn.tsn_shared.console import Progress, counted, printable, say
from tsn.tsn_shared.errors import PartialError
from tsn.tsn_shared.settings import ScoreSettings


def predict(
    model: TrainedNetwork, frames: npt.NDArray[np.uint8], *, num_segments: int | None = None
) -> npt.NDArray[np.float32]:
    """Return the class probabilities (C,), in the order of `model.classes`, of a video's frames (T, H, W, 3), RGB.

    They are those of `Predictor.frames` by the protocol `val`, on the device where the network lies.
    """
    device = next(model.network.parameters()).device
    return Predictor(model, num_segments=num_segments, device=device).frames(frames).probabilities


def predict_videos(
    checkpoint: Path,
    videos: Sequence[Path],
    settings: ScoreSettings,
    *,
    top: int = 5,
    png: Path | None = None,
    out: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> Prediction:
    """Return the `top` classes of every video, and of every video below a folder, with probabilities from 0 to 1.

    The videos become frames as the checkpoint's were made, and are scored as `evaluate` scores the clips of a split.
    `failed` lists those that extraction fails, with its reason. `png` is a picture, or a folder for one a video. `out`
    is a file of answers, .jsonl or .csv, whose videos are not answered again. `tell` gets each answer as a text as soon
    as it is there.
    """
    refuse_launched("--gpus N")
    sources = sources_of(videos)
    trained = load_trained(checkpoint)
    with ExitStack() as stack:
        stack.enter_context(holding(png, len(sources)))
        predictors = predictors_of(trained, settings, top=top, videos=len(sources))
        first, file, left = predictors[0], None, tuple(sources)
        if out is not None:
            file = stack.enter_context(answer_file(out, sources, first, png=None if png is None else str(png)))
            left = file.left
        if tell is not None:
            tell(headline(first.words, trained.settings.split, len(left)))
        visible = tell is None or not sys.stdout.isatty()
        progress = stack.enter_context(Progress("answering", total=len(left), unit="video", visible=visible))
        pictures = None if png is None else AnswerPictures(png, first.view)
        results = list[Answer | Failure]()
        for result in _answers(predictors, left, pictures, file):
            results.append(result)
            if tell is not None:
                tell(describe(result))
            elif isinstance(result, Failure):
                say(f"  {printable(result.video)}: {printable(result.reason)}")
            progress.advance(frames=result.frames if isinstance(result, Answer) else 0)
    return Prediction(
        checkpoint=trained.path,
        trained_on_split=trained.settings.split,
        protocol=first.view.name,
        num_segments=first.snippets.segments,
        words=first.words,
        answers=tuple(result for result in results if isinstance(result, Answer)),
        failed=tuple(result for result in results if isinstance(result, Failure)),
    )


def predictors_of(trained: TrainedNetwork, settings: ScoreSettings, *, top: int, videos: int) -> list[Predictor]:
    """Return the network on each device that the settings ask for, on no more than so many videos keep busy."""
    count = count_gpus(settings.gpus)
    visible = torch.cuda.device_count()
    devices = [torch.device("cuda", number % visible) for number in range(count)] or [torch.device("cpu")]

    def on(device: torch.device, network: TrainedNetwork) -> Predictor:
        return Predictor(
            network, protocol=settings.protocol, num_segments=settings.num_segments, top=top, device=device
        )

    first = on(devices[0], trained)
    busy = devices[1 : -(-videos // first.at_once)]
    return [first, *(on(other, replace(trained, network=copy.deepcopy(trained.network))) for other in busy)]


def _answers(
    predictors: Sequence[Predictor],
    sources: Sequence[Source],
    pictures: AnswerPictures | None,
    file: AnswerFile | None,
) -> Iterator[Answer | Failure]:
    """Yield the videos' results once they are drawn, and in the file."""
    for found in answer_videos(predictors, sources):
        result = found if isinstance(found, Failure) else found.answer
        if pictures is not None and not isinstance(found, Failure):
            result = pictures.draw(found.answer, found.numbers, found.pictures)
        if file is not None:
            file.add(result)
        yield result


def refuse_failures(prediction: Prediction) -> None:
    """Raise PartialError where videos failed."""
    failed, answered = len(prediction.failed), len(prediction.answers)
    if failed:
        others = ", the others are answered" if answered else ""
        raise PartialError(f"{failed} of {counted(failed + answered, 'video')} failed{others}")
