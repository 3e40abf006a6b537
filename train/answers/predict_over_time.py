"""`tsn predict --every`: a video, or a stream, answered over time, as the command line asks for it."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tsn.pipeline.extract.ffmpeg_run import VideoError
from tsn.pipeline.extract.streams import is_stream, shown
from tsn.train.answers.answer_file import FORMS, OVER_TIME
from tsn.train.answers.labelled_video import write_labelled
from tsn.train.answers.over_time import Timeline, timeline
from tsn.train.answers.predictor import Predictor
from tsn.train.answers.stream import Ended, LiveStream, live, refuse_broken
from tsn.train.answers.timeline_picture import draw_timeline
from tsn.train.answers.timeline_text import WRITERS, clock, describe, line_of
from tsn.tsn_shared.answer_settings import PredictSettings
from tsn.tsn_shared.console import counted, json_text, say
from tsn.tsn_shared.errors import PartialError, SettingsError
from tsn.tsn_shared.files import alone, write_text, writing

ENDINGS = (*FORMS, *OVER_TIME)
WAY_OUT = "name another --out"

Print = Callable[[str], object]


def predict_over_time(
    predictor: Predictor,
    videos: Sequence[str],
    settings: PredictSettings,
    *,
    as_json: bool,
    tell: Print,
) -> None:
    """Answer a video file or a stream over time, and `tell` what is a result; PartialError where a video failed.

    SettingsError for more videos than one, or a file whose ending says nothing. DataError where a stream breaks.
    """
    if len(videos) != 1 or Path(videos[0]).is_dir():
        what = f"{len(videos)} videos" if len(videos) != 1 else f"{videos[0]} is a folder"
        raise SettingsError(f"{what}: --every answers one video over time, name that")
    name = videos[0]
    if is_stream(name):
        if settings.out:
            raise SettingsError(
                f"--out {settings.out[0]}: a stream has no end to wait for; redirect what is printed, with --json"
            )
        _follow(predictor, name, settings, as_json=as_json, tell=tell)
    else:
        _answer(predictor, Path(name), settings, as_json=as_json, tell=tell)


def _answer(predictor: Predictor, video: Path, settings: PredictSettings, *, as_json: bool, tell: Print) -> None:
    for out in settings.out:
        _check_out(out, video)
    with ExitStack() as stack:
        for out in settings.out:
            stack.enter_context(alone(out, WAY_OUT))
        try:
            found = timeline(predictor, video, settings)
        except VideoError as error:
            raise PartialError(f"{video}: {error}") from None
        tell(json_text({**_asked(predictor), **found.plain()}) if as_json else describe(found, predictor.words))
        for out in settings.out:
            with writing(out, WAY_OUT):
                _write(found, out)
            say(f"{counted(len(found.segments), 'segment')}: {out}")
    if found.failure:
        raise PartialError(f"{video}: {found.failure}; what it shows until {clock(found.seconds)} is answered")


def _check_out(out: Path, video: Path) -> None:
    if out.suffix not in ENDINGS:
        raise SettingsError(f"--out {out}: it must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    if out.exists() and video.exists() and out.samefile(video):
        raise SettingsError(f"--out {out}: it is the video itself: {WAY_OUT}")


def _write(found: Timeline, out: Path) -> None:
    if out.suffix == ".png":
        draw_timeline(found, out)
    elif out.suffix == ".mp4":
        write_labelled(found, out)
    else:
        write_text(out, WRITERS[out.suffix](found.segments))


def _asked(predictor: Predictor) -> dict[str, object]:
    trained = predictor.trained
    return {
        "checkpoint": str(trained.path),
        "trained_on_split": trained.settings.split,
        "protocol": predictor.view.name,
        "num_segments": predictor.snippets.segments,
        "words": predictor.words,
    }


def _follow(predictor: Predictor, name: str, settings: PredictSettings, *, as_json: bool, tell: Print) -> None:
    say(f"{shown(name)}: windows of {settings.length:g} s, one every {settings.step:g} s; {predictor.words}")
    with live(predictor, name, settings) as stream:
        _tell_moments(stream, settings, as_json=as_json, tell=tell)
        ended = stream.ended()
    refuse_broken(name, ended)
    say(_end_of(name, ended))


def _tell_moments(stream: LiveStream, settings: PredictSettings, *, as_json: bool, tell: Print) -> None:
    told = 0
    for moment in stream:
        dropped, told = stream.dropped - told, stream.dropped
        if as_json:
            tell(json_text(moment.plain() | {"dropped": told}))
        elif moment.top[0].score >= settings.min_score:
            tell(line_of(moment) + (f"  ({counted(dropped, 'window')} dropped)" if dropped else ""))
        sys.stdout.flush()


def _end_of(name: str, ended: Ended) -> str:
    return (
        f"{shown(name)}: the stream ended after {ended.seconds:.1f} s: {counted(ended.frames, 'frame')}, "
        f"{counted(ended.windows, 'window')}, {ended.dropped} of them dropped to keep up "
        f"({counted(ended.unscored, 'frame')} not scored)"
    )
