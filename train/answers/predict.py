"""Prediction: a trained network's answers for videos, extracted and scored as `evaluate` does it, or for arrays.

From Python: `predict(load_trained(run), frames)`, with all frames of a video as a uint8 RGB array (T, H, W, 3).
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tsn.train.answers.passes import ScoringPass, protocol_and_segments, run_pass
from tsn.train.answers.predict_pictures import WAY_OUT, draw_answers, holding
from tsn.train.answers.prediction import Answer, Guess, Prediction
from tsn.train.answers.predictor import Predictor
from tsn.train.answers.trained import TrainedNetwork, load_trained
from tsn.train.answers.video_split import SPLIT, VideoSplit, sources_of, split_of_videos
from tsn.tsn_shared.console import counted, printable, say
from tsn.tsn_shared.errors import PartialError
from tsn.tsn_shared.files import writing
from tsn.tsn_shared.settings import DataSettings, ScoreSettings
from tsn.tsn_shared.views import VIEWS


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
) -> Prediction:
    """Return the `top` classes of every video, and of every video below a folder, with probabilities from 0 to 1.

    The videos become frames as the checkpoint's were made, and are scored as `evaluate` scores the clips of a split.
    `failed` lists those that extraction fails, with its reason. `png` is a picture, or a folder for one a video.
    """
    sources = sources_of(videos)
    trained = load_trained(checkpoint)
    protocol, segments = protocol_and_segments(trained, settings)
    with holding(png, len(sources)), tempfile.TemporaryDirectory(prefix="tsn-") as temporary:
        folder = Path(temporary)
        with writing(folder, "set TMPDIR to another disk"):
            made = split_of_videos(sources, trained, folder)
        wanted = ScoringPass(
            checkpoint=trained.path,
            data=DataSettings(frames=folder, splits=folder, split=SPLIT),
            subset="test",
            protocol=protocol,
            segments=segments,
            other_split=True,
        )
        answers: tuple[Answer, ...] = ()
        if made.names:
            scored = run_pass(wanted, trained, settings)
            answers = _answers(scored.values.softmax(dim=1), made, trained.classes, top)
        if png is not None:
            with writing(png, WAY_OUT):
                shards, clips, view = made.shards, made.clips, VIEWS[protocol]
                snippets = replace(trained.settings.snippets, segments=segments)
                answers = draw_answers(answers, shards, clips, view=view, snippets=snippets, png=png)
    return Prediction(
        checkpoint=trained.path,
        trained_on_split=trained.settings.split,
        protocol=protocol,
        num_segments=segments,
        words=wanted.words,
        answers=answers,
        failed=made.failures,
    )


def refuse_failures(prediction: Prediction) -> None:
    """List the videos that failed, if any, and raise PartialError."""
    failed, answered = prediction.failed, len(prediction.answers)
    for failure in failed:
        say(f"  {printable(failure.video)}: {printable(failure.reason)}")
    if failed:
        others = ", the others are answered" if answered else ""
        raise PartialError(f"{len(failed)} of {counted(len(failed) + answered, 'video')} failed{others}")


def _answers(probabilities: torch.Tensor, made: VideoSplit, classes: Sequence[str], top: int) -> tuple[Answer, ...]:
    best = probabilities.topk(min(top, len(classes)), dim=1)
    rows = zip(made.names, made.clips.frames.tolist(), best.indices.tolist(), best.values.tolist(), strict=True)
    return tuple(
        Answer(
            video=name,
            frames=frames,
            top=tuple(Guess(name=classes[label], score=value) for label, value in zip(labels, values, strict=True)),
            probabilities=row.numpy(),
        )
        for row, (name, frames, labels, values) in zip(probabilities, rows, strict=True)
    )
