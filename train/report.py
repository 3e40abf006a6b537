"""What a run looks like: a line an epoch, curves.png, TensorBoard's scalars, and the closing verdict."""

import time
from pathlib import Path
from statistics import median
from typing import Any

from train.run_folder import Row

STAIRS = 6
"""Learning rates of a run up to which they are steps, each a factor below the one before: drawn on a log scale."""

STARVED = 0.05
"""Share of the time spent waiting for data above which a run is called data-bound."""


def draw_curves(history: list[Row], out: Path, title: str) -> None:
    """Draw loss, top-1 and learning rate over epochs into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11)
    loss, top1, lr = figure.subplots(1, 3)
    _draw_panel(loss, history, "loss (nats)", {"train_loss": "train", "val_loss": "validation"})
    _draw_panel(top1, history, "top-1 (%)", {"train_top1": "train", "val_top1": "validation"}, factor=100)
    _draw_panel(lr, history, "learning rate", {"lr": ""})
    _cut_spikes(loss, [row[name] for row in history for name in ("train_loss", "val_loss") if name in row])
    top1.set_ylim(bottom=0)
    if "val_top1" in history[0]:
        _mark_best(top1, max(history, key=lambda row: row["val_top1"]))
    if 1 < len({row["lr"] for row in history}) <= STAIRS:
        lr.set_yscale("log")
    else:
        lr.set_ylim(bottom=0)
    figure.savefig(out, dpi=110)


def _draw_panel(axes: Any, history: list[Row], title: str, lines: dict[str, str], factor: float = 1) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in history]
    for (name, label), colour in zip(lines.items(), ("#7a8794", "#c2410c"), strict=False):
        if name in history[0]:
            marker = "o" if len(epochs) < 12 else None
            values = [row[name] * factor for row in history]
            axes.plot(epochs, values, label=label, color=colour, linewidth=1.8, marker=marker, markersize=4)
    axes.set_xlabel("epoch")
    axes.set_title(title, loc="left", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1:
        axes.legend(frameon=False, loc="best")


def _cut_spikes(axes: Any, losses: list[float]) -> None:
    """Keep a few wild losses (untrained batch statistics give them) from flattening all the others, and say so."""
    most, usual = max(losses), 3 * median(losses)
    axes.set_ylim(bottom=0)
    if most > usual > 0:
        axes.set_ylim(top=usual)
        axes.text(0.02, 0.02, f"cut off: up to {most:,.3g}", transform=axes.transAxes, fontsize=8, color="#7a8794")


def _mark_best(axes: Any, best: Row) -> None:
    place = (best["epoch"], best["val_top1"] * 100)
    axes.plot(*place, marker="o", color="#c2410c")
    words = f"best {best['val_top1']:.2%} in epoch {best['epoch']}"
    axes.text(0.98, 0.02, words, transform=axes.transAxes, ha="right", fontsize=9, color="#c2410c")


def epoch_line(row: Row, *, ends: float) -> str:
    """Return an epoch's line: `ends` is when the run will, in seconds since 1970."""
    validation = (
        f" | val loss {row['val_loss']:.3f}, top-1 {row['val_top1']:.1%}, top-5 {row['val_top5']:.1%}"
        if "val_top1" in row
        else ""
    )
    return (
        f"epoch {row['epoch']}: loss {row['train_loss']:.3f}, top-1 {row['train_top1']:.1%}{validation} | "
        f"{row['clips_per_second']:,.1f} clips/s, {row['data_wait_share']:.1%} waiting for data, "
        f"ends {time.strftime('%H:%M:%S', time.localtime(ends))}"
    )


SCALARS = {
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "train_top1": "top1/train",
    "val_top1": "top1/validation",
    "val_top5": "top5/validation",
    "lr": "recipe/lr",
    "clips_per_second": "speed/clips_per_second",
    "data_wait_share": "speed/data_wait_share",
}
"""Where TensorBoard shows a column: what belongs together shares a group."""


def write_scalars(writer: Any, row: Row) -> None:
    """Write an epoch's figures for TensorBoard."""
    for name, tag in SCALARS.items():
        if name in row:
            writer.add_scalar(tag, row[name], row["epoch"])


def verdict(history: list[Row], *, on_gpu: bool, precision: str) -> str:
    """Say in one sentence whether a run was short of data or of compute, by how much, and what to turn."""
    seconds = sum(row["seconds"] for row in history)
    rate = sum(row["clips_per_second"] * row["seconds"] for row in history) / seconds
    share = sum(row["data_wait_share"] * row["seconds"] for row in history) / seconds
    waiting = f"{share:.1%} of the time went on waiting for clips"
    if share > STARVED:
        knob = "give each rank more cores, or --frames on a faster disk; `tsn bench loader` says which is short"
        return (
            f"data-bound at {rate:,.1f} clips/s: {waiting}, and without it the run would make "
            f"{rate / (1 - share):,.1f}: {knob}"
        )
    if not on_gpu:
        knob = "a GPU, a smaller --input-size or fewer --num-segments"
    elif precision == "fp32":
        knob = "--precision bf16 or more --gpus"
    else:
        knob = "more --gpus or a smaller --input-size"
    return f"compute-bound at {rate:,.1f} clips/s: only {waiting}, so {knob} would speed it up, a faster loader not"
