"""Segments of a timeline as text: a table for a person, JSON Lines, CSV, subtitles. Names are escaped as each needs."""

import csv
import io
from collections.abc import Sequence

from tsn.train.answers.over_time import Timeline
from tsn.train.answers.timeline import SMOOTHING, Moment, Segment
from tsn.tsn_shared.console import counted, json_text, printable, table

JOINER = "\u2060"
"""Takes no room; after it a letter that would begin a tag of subtitles begins none, and is shown."""

SCORE = "{:.1%}"


def describe(timeline: Timeline, words: str) -> str:
    """Return a timeline for a person, in percent; `words` say what scored it."""
    grid = timeline.grid
    rows = [(clock(s.start), clock(s.end), SCORE.format(s.score), s.name) for s in timeline.segments]
    return "\n".join(
        [
            f"{printable(timeline.video)} ({counted(timeline.frames, 'frame')}, {clock(timeline.seconds)}), {words}",
            f"{counted(timeline.windows, 'window')} of {grid}: {SMOOTHING}",
            *([f"note: {printable(timeline.note)}"] if timeline.note else []),
            "",
            table(["start", "end", "score", "class"], rows) if rows else "no segment",
        ]
    )


def line_of(moment: Moment) -> str:
    """Return a moment as a line for a person who follows a stream."""
    best = moment.top[0]
    return f"{clock(moment.start)} - {clock(moment.end)}  {best.score:7.2%}  {printable(best.name)}"


def clock(seconds: float, *, mark: str = ".", digits: int = 1) -> str:
    """Return a time as h:mm:ss.t."""
    whole, part = divmod(round(seconds * 10**digits), 10**digits)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}{mark}{part:0{digits}}"


def jsonl(segments: Sequence[Segment]) -> str:
    """Return a line of JSON a segment."""
    return "".join(json_text(segment.plain()) + "\n" for segment in segments)


def csv_text(segments: Sequence[Segment]) -> str:
    """Return a line a segment, after a header."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["start", "end", "class", "score"])
    writer.writerows([f"{s.start:.3f}", f"{s.end:.3f}", s.name, f"{s.score:.6f}"] for s in segments)
    return file.getvalue()


def srt(segments: Sequence[Segment]) -> str:
    """Return the segments as SubRip subtitles, which players know; what a name has of tags is shown as it is."""
    return "".join(
        f"{number}\n{_srt_time(s.start)} --> {_srt_time(s.end)}\n{shown_as_is(s.name)} {s.score:.0%}\n\n"
        for number, s in enumerate(segments, 1)
    )


WRITERS = {".jsonl": jsonl, ".csv": csv_text, ".srt": srt}
"""By the ending of a file."""


def _srt_time(seconds: float) -> str:
    return clock(seconds, mark=",", digits=3).zfill(12)


def shown_as_is(name: str) -> str:
    """Return a name in which nothing begins a tag, an escape or a time of subtitles."""
    return "".join(letter + JOINER * (letter in "<{\\&-") for letter in printable(name)) or JOINER
