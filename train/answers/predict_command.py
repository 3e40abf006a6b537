"""`tsn predict` as the command line asks for it: many videos, one over time, a stream, or why."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tsn.pipeline.extract.streams import is_stream
from tsn.pipeline.extract.videos import SUFFIXES
from tsn.train.answers.passes import refuse_launched
from tsn.train.answers.predict import predict_videos, predictors_of, refuse_failures
from tsn.train.answers.predict_over_time import predict_over_time
from tsn.train.answers.prediction import hint_at_time
from tsn.train.answers.predictor import Predictor
from tsn.train.answers.trained import load_trained
from tsn.train.answers.why_picture import draw_why
from tsn.train.fit.checkpoint import find_checkpoint
from tsn.tsn_shared.answer_settings import OverTimeSettings, PredictSettings
from tsn.tsn_shared.console import json_text, say
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.fields import flag_of


def answer(
    checkpoint: Path, videos: Sequence[str], settings: PredictSettings, *, as_json: bool, tell: Callable[[str], None]
) -> None:
    """Answer videos, and `tell` what is a result. SettingsError for options that do not go together."""
    _refuse_swapped(checkpoint, videos)
    streams = [name for name in videos if is_stream(name)]
    if settings.why is not None:
        others = [flag_of(name) for name in ("every", "png", "out") if getattr(settings, name)]
        if streams or others:
            raise SettingsError(f"--why draws one clip of one video file: leave out {', '.join([*others, *streams])}")
        draw_why(_predictor(checkpoint, settings), videos, settings.why, tell=tell)
    elif streams or settings.every:
        if settings.png is not None:
            raise SettingsError("--png draws no answers over time: set --out FILE.png for a timeline")
        predict_over_time(_predictor(checkpoint, settings), videos, settings, as_json=as_json, tell=tell)
    else:
        _refuse_without_every(settings)
        _answer_videos(checkpoint, videos, settings, as_json=as_json, tell=tell)


def _refuse_without_every(settings: PredictSettings) -> None:
    """Refuse what says how to answer over time where nothing asks for that."""
    usual = OverTimeSettings()
    others = [flag_of(name) for name in ("window", "min_score") if getattr(settings, name) != getattr(usual, name)]
    if others:
        raise SettingsError(f"{others[0]} goes with --every TIME, which asks for answers over time")


def _refuse_swapped(checkpoint: Path, videos: Sequence[str]) -> None:
    """Refuse a checkpoint that is a video or a folder without checkpoints, before videos are looked for in a run."""
    first = "the checkpoint or run comes first, then the videos"
    if checkpoint.suffix.lower() in SUFFIXES and checkpoint.is_file():
        raise SettingsError(f"{checkpoint} is a video: {first}")
    if runs := [name for name in videos if Path(name, "config.json").is_file()]:
        raise SettingsError(f"{runs[0]} is a run: {first}")
    find_checkpoint(checkpoint)


def _answer_videos(
    checkpoint: Path, videos: Sequence[str], settings: PredictSettings, *, as_json: bool, tell: Callable[[str], None]
) -> None:
    paths = [Path(video) for video in videos]
    each = None if as_json else tell
    if len(settings.out) > 1:
        raise SettingsError(f"--out {settings.out[0]} and {settings.out[1]}: the answers go to one file")
    top, png, out = settings.top, settings.png, next(iter(settings.out), None)
    result = predict_videos(checkpoint, paths, settings, top=top, png=png, out=out, tell=each)
    if as_json:
        tell(json_text(result.plain()))
    if out is not None:
        say(f"the answers: {out}")
    hint_at_time(result.answers)
    refuse_failures(result)


def _predictor(checkpoint: Path, settings: PredictSettings) -> Predictor:
    refuse_launched("--gpus N")
    (predictor,) = predictors_of(load_trained(checkpoint), settings, top=settings.top, videos=1)
    return predictor
