"""What a run looks like: curves.png, TensorBoard events, and the closing verdict."""

from pathlib import Path

from train.run_folder import Row

STARVED = 0.05
"""Share of the time spent waiting for data above which a run is called data-bound."""


def draw_curves(history: list[Row], out: Path, title: str) -> None:
    """Draw loss, top-1 and learning rate over epochs into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(12, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    epochs = [row["epoch"] for row in history]
    panels = (
        ("loss", (("train_loss", "train", 1), ("val_loss", "validation", 1))),
        ("top-1, %", (("train_top1", "train", 100), ("val_top1", "validation", 100))),
        ("learning rate", (("lr", "", 1),)),
    )
    for axes, (label, lines) in zip(figure.subplots(1, 3), panels, strict=True):
        for key, name, factor in lines:
            values = [row[key] * factor for row in history]
            axes.plot(epochs, values, label=name, marker="o" if len(epochs) < 12 else None, markersize=4)
        axes.set_xlabel("epoch")
        axes.set_title(label, loc="left", fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if len(lines) > 1:
            axes.legend(frameon=False)
    best = max(history, key=lambda row: row["val_top1"])
    figure.axes[1].annotate(
        f"{best['val_top1']:.1%}", (best["epoch"], best["val_top1"] * 100), xytext=(0, 6), textcoords="offset points"
    )
    figure.savefig(out, dpi=110)


def verdict(data_wait_share: float, clips_per_second: float) -> str:
    """Say in one sentence whether a run was short of data or of compute, by how much, and what to turn."""
    rate = f"{clips_per_second:,.1f} clips/s"
    if data_wait_share > STARVED:
        return (
            f"data-bound at {rate}: {data_wait_share:.1%} of the time went on waiting for clips; "
            "see tsn bench loader, and give the ranks more cores"
        )
    return (
        f"compute-bound at {rate}: {data_wait_share:.1%} of the time went on waiting for clips; "
        "more GPUs, a smaller --input-size or a lower --precision would speed it up"
    )
