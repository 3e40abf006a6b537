"""Pictures of an evaluation, a prediction and a comparison, as PNG files that a person can read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from train.evaluation import ClassScore

DPI = 110
CELL = 0.19
"""Inches a class in the tables: 101 classes make a picture of about 2,600 pixels whose names can be read."""


def draw_confusion(counts: Tensor, classes: Sequence[str], out: Path, title: str) -> None:
    """Draw which classes (rows) were taken for which (columns): counts (C, C), shaded by their share of the row.

    Classes that have no clips and were never given are left out.
    """
    from matplotlib.colors import LinearSegmentedColormap

    table = counts.numpy()
    kept = np.flatnonzero(table.sum(axis=0) + table.sum(axis=1))
    table = table[np.ix_(kept, kept)]
    names, total = [classes[label] for label in kept.tolist()], table.sum(axis=1, keepdims=True)
    share = table / np.maximum(total, 1)
    edge = CELL * len(kept)
    figure = _figure(max(edge + 2.6, 9), max(edge + 2.6, 4))
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
    figure.savefig(out, dpi=DPI)


def draw_per_class(rows: Sequence[ClassScore], out: Path, title: str) -> None:
    """Draw a bar of top-1 for each class, the best on top, a mark for top-5, and the mean over classes."""
    ordered = sorted(rows, key=lambda row: (row.top1, row.top5, row.name))
    figure = _figure(10, max(CELL * len(rows) + 1.6, 3))
    axes = figure.subplots()
    places = np.arange(len(ordered))
    mean = 100 * sum(row.top1 for row in rows) / len(rows)
    axes.barh(places, [100 * row.top1 for row in ordered], color="#4393c3", height=0.75, label="top-1")
    axes.plot(
        [100 * row.top5 for row in ordered], places, "|", color="#053061", markersize=9, label="top-5", clip_on=False
    )
    axes.axvline(mean, color="#b2182b", linewidth=1, label=f"mean class accuracy {mean:.1f} %")
    for place, row in zip(places, ordered, strict=True):
        text = f"{row.top1:.0%}" + (f"  taken for {row.taken_for} ({row.times})" if row.taken_for else "")
        axes.text(101.5, place, text, va="center", fontsize=7, color="#333333")
    axes.set_yticks(places, [f"{row.name} ({row.clips})" for row in ordered], fontsize=7)
    axes.set_ylim(-0.7, len(ordered) - 0.3)
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the class's clips")
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(axis="y", length=0)
    figure.suptitle(_folded(title), fontsize=10)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.savefig(out, dpi=DPI)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _folded(title: str) -> str:
    return title.replace("clips: ", "clips:\n", 1)
