"""Pictures of a run, an evaluation, a prediction and a comparison, as PNG files that a person can read."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from tsn.train.history import Row, best_row
from tsn.train.metrics import ClassMetrics
from tsn.tsn_shared.console import printable
from tsn.tsn_shared.files import replacing
from tsn.tsn_shared.fonts import use_fonts
from tsn.tsn_shared.letters import shortened

# where HOME cannot be written, matplotlib warns in two lines that its cache is elsewhere: nobody need act on that
logging.getLogger("matplotlib").setLevel(logging.ERROR)

DPI = 110
CELL = 0.19
"""Inches a class in the tables: 101 classes make a picture of about 2,600 pixels whose names can be read."""

LONGEST = 32
"""Columns of a terminal of a class's name that are drawn."""

WIDE = 3
"""Times the median that a loss may be on a linear axis."""

MOST_STEPS = 6
"""A run of at most so many learning rates steps from one to the next by a factor: they are drawn on a log scale."""


def draw_confusion(counts: Tensor, classes: Sequence[str], out: Path, title: str) -> None:
    """Draw which classes (rows) were taken for which (columns): counts (C, C), shaded by their share of the row.

    Classes that have no clips and were never given are left out.
    """
    from matplotlib.colors import LinearSegmentedColormap

    table = counts.numpy()
    kept = np.flatnonzero(table.sum(axis=0) + table.sum(axis=1))
    table = table[np.ix_(kept, kept)]
    names, total = [short_name(classes[label]) for label in kept.tolist()], table.sum(axis=1, keepdims=True)
    share = table / np.maximum(total, 1)
    edge = max(CELL * len(kept), min(0.5 * len(kept), 4))
    figure = new_figure(max(edge + 3, 7), max(edge + 2.2, 4))
    axes = figure.subplots()
    right, wrong = (LinearSegmentedColormap.from_list("", ["white", colour]) for colour in ("#1b7837", "#b2182b"))
    shade = np.where(np.eye(len(kept), dtype=bool)[..., None], right(share), wrong(np.sqrt(share)))
    axes.imshow(shade, interpolation="nearest")
    for row, column in zip(*np.nonzero(table), strict=True):
        dark = share[row, column] > (0.55 if row == column else 0.3)
        colour = "white" if dark else "black"
        axes.text(column, row, str(table[row, column]), ha="center", va="center", fontsize=6, color=colour)
    axes.set_xticks(range(len(kept)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(kept)), [f"{n} ({t})" for n, t in zip(names, total.ravel(), strict=True)], fontsize=7)
    axes.set_xticks(np.arange(len(kept) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(kept) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#dddddd", linewidth=0.4)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("taken for")
    axes.set_ylabel("class (clips)")
    figure.suptitle(_folded(title), fontsize=10)
    save_figure(figure, out)


def draw_per_class(rows: Sequence[ClassMetrics], out: Path, title: str) -> None:
    """Draw a bar of top-1 for each class, the best on top, a mark for its top-5, and the mean over classes."""
    ordered = sorted(rows, key=lambda row: (row.top1, row.top5 or 0.0, row.name))
    figure = new_figure(10, max(CELL * len(rows) + 1.6, 3))
    axes = figure.subplots()
    positions = np.arange(len(ordered))
    mean = 100 * sum(row.top1 for row in rows) / len(rows)
    axes.barh(positions, [100 * row.top1 for row in ordered], color="#4393c3", height=0.75, label="top-1")
    marks = [(100 * row.top5, position) for position, row in enumerate(ordered) if row.top5 is not None]
    if marks:
        axes.plot(*zip(*marks, strict=True), "|", color="#053061", markersize=9, label="top-5", clip_on=False)
    axes.axvline(mean, color="#b2182b", linewidth=1, label=f"mean class accuracy {mean:.1f} %")
    for position, row in zip(positions, ordered, strict=True):
        text = f"{row.top1:.1%}" + (f"  taken for {short_name(row.taken_for)} ({row.times})" if row.taken_for else "")
        axes.text(101.5, position, text, va="center", fontsize=7, color="#333333")
    axes.set_yticks(positions, [f"{short_name(row.name)} ({row.clips})" for row in ordered], fontsize=7)
    axes.set_ylim(-0.7, len(ordered) - 0.3)
    axes.set_xlim(0, 100.4)  # for the mark of a top-5 of 100 %
    axes.set_xlabel("% of the class's clips")
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(axis="y", length=0)
    figure.suptitle(_folded(title), fontsize=10)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save_figure(figure, out)


def draw_answer(
    pictures: Sequence[npt.NDArray[np.uint8]],
    captions: Sequence[str],
    crop: Sequence[int] | None,
    top: Sequence[tuple[str, float]],
    out: Path,
    *,
    title: str,
    source: str,
) -> None:
    """Draw a video's sampled frames, the crop (y, x, h, w) that the network saw, and under them the best classes.

    `top` are the classes with their probabilities, best first. The file states its `source`, the video.
    """
    from matplotlib.patches import Rectangle

    columns = min(len(pictures), 5)
    rows = -(-len(pictures) // columns)
    tall = pictures[0].shape[0] / pictures[0].shape[1]
    width = max(2.4 * columns, 5)
    heights = [width / columns * tall + 0.25] * rows + [0.28 * len(top) + 0.5]
    figure = new_figure(width, sum(heights) + 0.4)
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=heights)
    for position, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        axes = figure.add_subplot(grid[position // columns, position % columns])
        axes.imshow(picture)
        if crop is not None:
            y, x, height, breadth = crop
            axes.add_patch(Rectangle((x, y), breadth, height, fill=False, edgecolor="#ffd92f", linewidth=1.2))
        axes.set_title(drawn_text(caption), fontsize=7)
        axes.set_axis_off()
    axes = figure.add_subplot(grid[rows, :])
    positions = range(len(top))
    axes.barh(positions, [score for _, score in top], color="#4393c3", height=0.7)
    for position, (_, score) in zip(positions, top, strict=True):
        axes.text(score + 0.01, position, f"{score:.1%}", va="center", fontsize=8)
    axes.set_yticks(positions, [short_name(name) for name, _ in top], fontsize=9)
    axes.set_xlim(0, 1.12)
    axes.invert_yaxis()
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle(drawn_text(title), fontsize=10)
    save_figure(figure, out, {"Source": source})


def draw_comparison(histories: Mapping[str, Sequence[Row]], out: Path) -> None:
    """Overlay the runs' curves of loss, top-1 and learning rate, a colour a run; dashed is training."""
    figure = new_figure(14, 4.2 + 0.18 * len(histories))
    panels = figure.subplots(1, 3)
    shown = (("loss", "loss", 1), ("top1", "top-1, %", 100), ("lr", "learning rate", 1))
    for axes, (key, label, factor) in zip(panels, shown, strict=True):
        for number, (name, history) in enumerate(histories.items()):
            colour = f"C{number % 10}"
            for column, style in ((f"train_{key}", "--"), (f"val_{key}", "-")) if key != "lr" else (("lr", "-"),):
                points = _points(history, column, factor)
                if points:
                    marker = "o" if len(points) < 12 else ""
                    text = drawn_text(name) if style == "-" else "_"
                    face = "white" if style == "--" else colour
                    (line,) = axes.plot(*zip(*points, strict=True), style, color=colour, label=text)
                    line.set(marker=marker, markersize=4, markerfacecolor=face)
        axes.set_title(label, loc="left", fontsize=10)
        _count_epochs(axes, max(history[-1].epoch for history in histories.values()))
        axes.grid(alpha=0.3)
    rows = [row for history in histories.values() for row in history]
    _spread_losses(panels[0], rows)
    _spread_rates(panels[2], rows)
    figure.suptitle("solid, full: validation; dashed, hollow: training", fontsize=9)
    lines, names = panels[2].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    save_figure(figure, out)


def draw_curves(history: Sequence[Row], out: Path, title: str) -> None:
    """Draw loss, top-1 and learning rate over epochs into a PNG."""
    figure = new_figure(12, 4)
    figure.suptitle(drawn_text(title), fontsize=11)
    loss, top1, lr = figure.subplots(1, 3)
    _draw_panel(loss, history, "loss (nats)", {"train_loss": "train", "val_loss": "validation"})
    _draw_panel(top1, history, "top-1 (%)", {"train_top1": "train", "val_top1": "validation"}, factor=100)
    _draw_panel(lr, history, "learning rate", {"lr": ""})
    _spread_losses(loss, history)
    _spread_rates(lr, history)
    top1.set_ylim(bottom=0)
    if best := best_row(history):
        _mark_best(top1, best.epoch, best.val_top1 or 0.0)
    save_figure(figure, out)


def _draw_panel(axes: Any, history: Sequence[Row], title: str, lines: dict[str, str], factor: float = 1) -> None:
    for (name, label), colour in zip(lines.items(), ("#7a8794", "#c2410c"), strict=False):
        points = _points(history, name, factor)
        if points:
            marker = "o" if len(points) < 12 else ""
            axes.plot(*zip(*points, strict=True), label=label, color=colour, linewidth=1.8, marker=marker, markersize=4)
    axes.set_title(title, loc="left", fontsize=10)
    _count_epochs(axes, history[-1].epoch)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1:
        axes.legend(frameon=False, loc="best")


def _count_epochs(axes: Any, last: float) -> None:
    """Let the x axis count epochs up to the last, in whole numbers, and leave some room above the curves."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.set_xlim(-0.5, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(y=0.1)


def _points(history: Sequence[Row], column: str, factor: float) -> list[tuple[float, float]]:
    """Return the points of a column's curve over epochs: none where it has no figure."""
    rows = [row.plain() for row in history]
    return [(row["epoch"], factor * row[column]) for row in rows if column in row]


def _spread_losses(axes: Any, history: Sequence[Row]) -> None:
    """Draw losses on a logarithmic axis where a few wild ones (as of an untrained network) would flatten the others."""
    losses = [loss for row in history for loss in (row.train_loss, row.val_loss) if loss is not None]
    if max(losses) > WIDE * median(losses) and min(losses) > 0:
        _logarithmic(axes)
    else:
        axes.set_ylim(bottom=0)


def _spread_rates(axes: Any, history: Sequence[Row]) -> None:
    """Draw learning rates that fall in steps on a logarithmic axis, on which the steps are alike."""
    if 1 < len({row.lr for row in history}) <= MOST_STEPS:
        _logarithmic(axes)
    else:
        axes.set_ylim(bottom=0)


def _logarithmic(axes: Any) -> None:
    """Make the y axis logarithmic, with plain numbers rather than powers of ten."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")


def _mark_best(axes: Any, epoch: int, top1: float) -> None:
    axes.plot(epoch, top1 * 100, marker="o", color="#c2410c")
    words = f"best {top1:.2%} in epoch {epoch}"
    axes.text(0.98, 0.02, words, transform=axes.transAxes, ha="right", fontsize=9, color="#c2410c")


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of so many inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, out: Path, stated: dict[str, str] | None = None) -> None:
    """Write a figure as a PNG, every letter in a font that has it; `stated` are facts in the file."""
    from matplotlib.text import Text

    for axes in figure.axes:  # texts of ticks are made when they are asked for
        axes.get_xticklabels(), axes.get_yticklabels()
    use_fonts(figure.findobj(Text))
    with replacing(out) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a script that the font lacks: boxes are drawn
        figure.savefig(temporary, dpi=DPI, format="png", metadata=stated)


def drawn_text(text: str) -> str:
    """Return a text as matplotlib draws it: on one line, and with `$` as itself, never as the begin of a formula."""
    return printable(text).replace("$", r"\$")


def short_name(text: str) -> str:
    """Return a class's name as it is drawn, cut short where it would leave no room for anything else."""
    return drawn_text(shortened(text, LONGEST))


def _folded(title: str) -> str:
    return drawn_text(title).replace("clips: ", "clips:\n", 1)
