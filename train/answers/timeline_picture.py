"""A timeline as a picture: a row for each class that is ever the best, shaded by its scores over time."""

from pathlib import Path
from typing import Any

import numpy as np

from tsn.train.answers.over_time import Timeline
from tsn.train.answers.timeline_text import clock
from tsn.train.answers.windows import SECOND
from tsn.train.pictures import drawn_text, new_figure, save_figure, short_name

MOST_CLASSES = 24
"""Rows: of more classes those that last longest."""

COLUMNS = 2000
"""Moments side by side, at most: of more the highest score of neighbours is drawn."""


def draw_timeline(timeline: Timeline, out: Path) -> None:
    """Draw which class is when, its scores, and the segments as bars, into a PNG."""
    names = _classes(timeline)
    figure = new_figure(12, 0.32 * max(len(names), 1) + 1.6)
    axes = figure.subplots()
    if names:
        image = axes.imshow(
            _scores(timeline, names),
            aspect="auto",
            interpolation="nearest",
            cmap="Blues",
            vmin=0,
            vmax=1,
            extent=(0, _steps(timeline) * timeline.grid.every / SECOND, len(names) - 0.5, -0.5),
        )
        figure.colorbar(image, ax=axes, pad=0.01, label="score", format=lambda score, _: f"{score:.0%}")
    for segment in timeline.segments:
        if segment.name in names:
            row = names.index(segment.name)
            axes.hlines(row + 0.38, segment.start, segment.end, color="#c2410c", linewidth=3)
    axes.set_yticks(range(len(names)), [short_name(name) for name in names], fontsize=9)
    axes.set_xlim(0, max(timeline.seconds, 0.1))
    axes.xaxis.set_major_formatter(lambda seconds, _: _time(seconds, timeline.seconds))
    axes.set_xlabel("time")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    title = f"{Path(timeline.video).name}: windows of {timeline.grid}; orange: the class of a segment"
    figure.suptitle(drawn_text(title), fontsize=10)
    save_figure(figure, out, {"Source": str(Path(timeline.video).absolute())})


def _classes(timeline: Timeline) -> list[str]:
    """Return the classes of the segments in the order in which they first come; of many those that last longest."""
    lasts = dict[str, float]()
    for segment in timeline.segments:
        lasts[segment.name] = lasts.get(segment.name, 0.0) + segment.end - segment.start
    longest = set(sorted(lasts, key=lambda name: -lasts[name])[:MOST_CLASSES])
    return [name for name in lasts if name in longest]


def _steps(timeline: Timeline) -> int:
    return timeline.moments[-1].number + 1


def _scores(timeline: Timeline, names: list[str]) -> Any:
    """Return the scores (rows, columns) of classes over time: 0 where a class is not among the best of a moment."""
    steps = _steps(timeline)
    columns = min(steps, COLUMNS)
    scores = np.zeros((len(names), columns), dtype=np.float32)
    rows = {name: row for row, name in enumerate(names)}
    for moment in timeline.moments:
        column = moment.number * columns // steps
        for guess in moment.top:
            if (row := rows.get(guess.name)) is not None:
                scores[row, column] = max(scores[row, column], guess.score)
    return scores


def _time(seconds: float, whole: float) -> str:
    """Return a tick's time, as much of it as a timeline of this length needs."""
    text = clock(max(seconds, 0), digits=1)
    return text if whole >= 3600 else text.partition(":")[2] if whole >= 60 else f"{seconds:g} s"
