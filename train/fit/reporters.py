"""What a run says of itself: a line an epoch, TensorBoard's scalars, and the closing verdict."""

from typing import Any

from tsn.train.fit.folder import Row
from tsn.tsn_shared.console import moment

STARVED = 0.05
"""Share of the time spent waiting for data above which a run is called data-bound."""


def epoch_line(row: Row, *, left: float) -> str:
    """Return an epoch's line: the run ends in `left` seconds."""
    validation = (
        f" | val loss {row['val_loss']:.3f}, top-1 {row['val_top1']:.1%}, top-5 {row['val_top5']:.1%}"
        if "val_top1" in row
        else ""
    )
    return (
        f"epoch {row['epoch']}: loss {row['train_loss']:.3f}, top-1 {row['train_top1']:.1%}{validation} | "
        f"{row['clips_per_second']:,.1f} clips/s, {row['data_wait_share']:.1%} waiting for data, "
        f"the run ends {moment(left)}"
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
    seconds = max(sum(row["seconds"] for row in history), 1e-9)
    rate = sum(row["clips_per_second"] * row["seconds"] for row in history) / seconds
    share = sum(row["data_wait_share"] * row["seconds"] for row in history) / seconds
    waiting = f"{share:.1%} of the time went on waiting for clips"
    if share > STARVED:
        knob = "give each rank more cores, or --frames on a faster disk; `tsn bench loader` says which is short"
        return (
            f"data-bound at {rate:,.1f} clips/s: {waiting}, and without it the run would make "
            f"{rate / max(1 - share, 0.001):,.1f}: {knob}"
        )
    if not on_gpu:
        knob = "a GPU, a smaller --input-size or fewer --num-segments"
    elif precision == "fp32":
        knob = "--precision bf16 or more --gpus"
    else:
        knob = "more --gpus or a smaller --input-size"
    return f"compute-bound at {rate:,.1f} clips/s: only {waiting}, so {knob} would speed it up, a faster loader not"
