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
from tsn.train.answers.trained import TrainedNetwork, load_trained
from tsn.train.answers.video_split import SPLIT, VideoSplit, sources_of, split_of_videos
from tsn.train.network.end_to_end import EndToEnd
from tsn.train.network.memory import available, estimate_scoring, fitting
from tsn.train.network.model import shapes_of
from tsn.tsn_shared.console import counted, printable, say
from tsn.tsn_shared.errors import DataError, PartialError, SettingsError
from tsn.tsn_shared.files import writing
from tsn.tsn_shared.settings import DataSettings, ScoreSettings
from tsn.tsn_shared.views import VIEWS


def predict(
    model: TrainedNetwork, frames: npt.NDArray[np.uint8], *, num_segments: int | None = None
) -> npt.NDArray[np.float32]:
    """Return the class probabilities (C,), in the order of `model.classes`, of a video's frames (T, H, W, 3), RGB.

    The protocol is `val`: the middle frame of each segment, the centre crop. Frames of another size than those learned
    from are resized to it. SettingsError for an array of another kind, or more segments than fit into memory.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise SettingsError(f"frames are {frames.dtype} {frames.shape}: they must be uint8 (T, H, W, 3), RGB")
    own, device = model.settings.snippets, next(model.network.parameters()).device
    snippets = replace(own, segments=num_segments or own.segments)
    _check_fit(model, snippets.frames, device)
    shown = frames[VIEWS["val"].frame_indices([len(frames)], snippets)[0]]
    module = EndToEnd(
        model.network,
        frame_size=model.frame_size or (frames.shape[1], frames.shape[2]),
        input_size=model.settings.input_size,
    )
    with torch.inference_mode():
        answer = module.to(device)(torch.from_numpy(np.ascontiguousarray(shown)).to(device)[None])[0]
    if not bool(answer.isfinite().all()):
        raise DataError(f"{model.path} gives no numbers for these frames: its weights are too large")
    return np.asarray(answer.cpu().numpy())


def _check_fit(model: TrainedNetwork, frames: int, device: torch.device) -> None:
    size = model.settings.input_size
    shapes = shapes_of(model.settings, len(model.classes))
    needs = estimate_scoring(shapes, frames=frames, crops=1, at_once=1, input_size=size, half=False)
    fitting(needs, batch_size=1, free=available(device, processes=1), where=str(device))


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
        )
        for name, frames, labels, values in rows
    )
