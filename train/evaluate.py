"""Evaluation of a checkpoint on the test clips of a split, under a named protocol."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import train.data as data
from train.checkpoint import find_checkpoint, load_checkpoint
from train.evaluation import score_clips, scores_of
from train.model import build_model, channels_last
from train.ranks import Ranks
from tsn_shared.errors import SettingsError
from tsn_shared.settings import TrainSettings, from_plain

PROTOCOLS = ("val",)
"""val: S segments, their middle frames, the centre crop: what training computes after every epoch."""


def evaluate(
    checkpoint: Path,
    *,
    protocol: str,
    num_segments: int | None = None,
    frames: Path | None = None,
    splits: Path | None = None,
    split: str | None = None,
    other_split: bool = False,
) -> dict[str, Any]:
    """Score a checkpoint, or the best of a run, and return the figures with what they were computed from.

    Data and segments are the checkpoint's unless stated. Another split than it was trained on is refused unless
    `other_split`: its test clips were training clips.
    """
    if protocol not in PROTOCOLS:
        raise SettingsError(f"--protocol {protocol}: it must be one of {', '.join(PROTOCOLS)}")
    path = find_checkpoint(checkpoint)
    state = load_checkpoint(path)
    settings: TrainSettings = from_plain(TrainSettings, state["settings"])
    if split is not None and split != settings.split and not other_split:
        raise SettingsError(
            f"{path} was trained on split {settings.split}: test clips of split {split} were among its training clips; "
            "evaluate it on its own, or say --other-split"
        )
    settings = replace(
        settings,
        frames=frames or settings.frames,
        splits=splits or settings.splits,
        split=split or settings.split,
        use_tsn=settings.use_tsn or num_segments is not None,
        num_segments=num_segments or settings.num_segments,
    )
    scores = _score(state, settings)
    return {
        "checkpoint": str(path),
        "epoch": state["history"][-1]["epoch"] if state["history"] else None,
        "protocol": protocol,
        "split": settings.split,
        "num_segments": settings.segments,
        **scores,
    }


def _score(state: dict[str, Any], settings: TrainSettings) -> dict[str, float]:
    opened = data.open_split(settings)
    if list(opened.classes) != state["classes"][: len(opened.classes)]:
        raise SettingsError(f"{opened.path} has other classes than the checkpoint: evaluate it on its own split")
    if not len(opened.test):
        raise SettingsError(f"{opened.path} has no test clips")
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    model = build_model(settings.model, num_classes=len(state["classes"]), dropout=settings.dropout)
    model.load_state_dict(state["model"])
    ranks = Ranks(device=device)
    loader, loads = data.open_val_loader(
        opened,
        settings,
        ranks,
        batch_size=settings.batch_size,
        segments=settings.segments,
        input_size=settings.input_size,
    )
    with loader:
        logits, labels = score_clips(
            channels_last(model).to(device),
            loader,
            loads=loads,
            clips=len(opened.test),
            ranks=ranks,
            precision=settings.precision or ("bf16" if device.type == "cuda" else "fp32"),
        )
    return scores_of(logits, labels).plain()


def describe(result: dict[str, Any]) -> str:
    """Return the figures as a line for a person."""
    return (
        f"split {result['split']}, {result['protocol']} ({result['num_segments']} segments), {result['clips']} clips: "
        f"top-1 {result['top1']:.2%}, top-5 {result['top5']:.2%}, "
        f"mean class accuracy {result['mean_class_accuracy']:.2%}, loss {result['loss']:.4f}"
    )
