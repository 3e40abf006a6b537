"""`tsn predict` as the command line asks for it: many videos, one over time, a stream, or why."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tsn.pipeline.extract.streams import is_stream
from tsn.pipeline.extract.videos import SUFFIXES
from tsn.train.answers.passes import refuse_launched
from tsn.train.answers.predict import predict_videos, predictors_of, refuse_failures
from tsn.train.answers.predict_over_time import predict_over_time
from tsn.train.answers.prediction import Prediction
from tsn.train.answers.predictor import Predictor
from tsn.train.answers.trained import load_trained
from tsn.train.answers.why_picture import draw_why
from tsn.train.fit.checkpoint import find_checkpoint
from tsn.tsn_shared.answer_settings import PredictSettings
from tsn.tsn_shared.console import counted, json_text, say
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.fields import flag_of

LONG = 1_500
"""Frames, a minute of most videos, from which on one answer for all of them says little."""


def answer(
    checkpoint: Path, videos: Sequence[str], settings: PredictSettings, *, as_json: bool, tell: Callable[[str], None]
) -> None:
    """Answer videos, and `tell` what is a result. SettingsError for options that do not go together."""
    _refuse_swapped(checkpoint)
    streams = [name for name in videos if is_stream(name)]
    if settings.why is not None:
        others = [flag_of(name) for name in ("every", "png", "out") if getattr(settings, name) is not None]
        if streams or others:
            raise SettingsError(f"--why draws one clip of one video file: leave out {', '.join([*others, *streams])}")
        draw_why(_predictor(checkpoint, settings), videos, settings.why, tell=tell)
    elif streams or settings.every:
        if settings.png is not None:
            raise SettingsError("--png draws no answers over time: set --out FILE.png for a timeline")
        predict_over_time(_predictor(checkpoint, settings), videos, settings, as_json=as_json, tell=tell)
    else:
        _answer_videos(checkpoint, videos, settings, as_json=as_json, tell=tell)


def _refuse_swapped(checkpoint: Path) -> None:
    """Refuse a checkpoint that is a video or a folder without checkpoints, before videos are looked for in a run."""
    path = find_checkpoint(checkpoint)
    if path.suffix.lower() in SUFFIXES and path.is_file():
        raise SettingsError(f"{checkpoint} is a video: the checkpoint or run comes first, then the videos")


def _answer_videos(
    checkpoint: Path, videos: Sequence[str], settings: PredictSettings, *, as_json: bool, tell: Callable[[str], None]
) -> None:
    paths = [Path(video) for video in videos]
    each = None if as_json else tell
    top, png, out = settings.top, settings.png, settings.out
    result = predict_videos(checkpoint, paths, settings, top=top, png=png, out=out, tell=each)
    if as_json:
        tell(json_text(result.plain()))
    if out is not None:
        say(f"the answers: {out}")
    _hint_at_time(result)
    refuse_failures(result)


def _hint_at_time(result: Prediction) -> None:
    """Say how to ask what happens when, where videos are long for one answer."""
    long = sum(answer.frames > LONG for answer in result.answers)
    if long:
        frames = f"{counted(long, 'video')} of more than {LONG:,} frames, one answer for all of it"
        say(f"{frames}: --every 1s tells what happens when")


def _predictor(checkpoint: Path, settings: PredictSettings) -> Predictor:
    refuse_launched("--gpus N")
    (predictor,) = predictors_of(load_trained(checkpoint), settings, top=settings.top, videos=1)
    return predictor
