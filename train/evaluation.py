"""Scoring: logits of every clip exactly once on any number of ranks, and the figures that follow from them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.loader import Batch
from train.ranks import Ranks
from tsn_shared.errors import DataError

TOP = 5


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Figures of a pass, as fractions from 0 to 1: loss is the mean cross-entropy in nats."""

    clips: int
    loss: float
    top1: float
    top5: float
    mean_class_accuracy: float

    def plain(self) -> dict[str, float]:
        """Return the figures by name."""
        return asdict(self)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a network runs at this precision (fp32, bf16 or fp16)."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


@torch.inference_mode()
def score_clips(
    model: nn.Module, batches: Iterator[Batch], *, loads: int, clips: int, ranks: Ranks, precision: str
) -> tuple[Tensor, Tensor]:
    """Run a pass of `loads` batches on each rank and return all clips' logits (N, C), float32, and labels (N,), int64.

    Both lie on the CPU in the order of the split; the padding is dropped.
    """
    model.eval()
    parts = []
    for _ in range(loads):
        batch = next(batches)
        with autocast(precision, ranks.device):
            logits = model(batch.clips).float()
        # a row of numbers a clip: logits, then row, label and mask, exact in float64
        plan = torch.stack(
            [torch.from_numpy(column).double() for column in (batch.plan.rows, batch.plan.labels, batch.plan.valid)], 1
        )
        parts.append(torch.cat([logits.double(), plan.to(logits.device)], dim=1))
    gathered = ranks.gather(torch.cat(parts)).cpu()
    gathered = gathered[gathered[:, -1] == 1]
    gathered = gathered[gathered[:, -3].argsort()]
    if not torch.equal(gathered[:, -3], torch.arange(clips, dtype=torch.float64)):
        raise DataError(f"{len(gathered)} of {clips} clips were scored: each must be scored once")
    return gathered[:, :-3].float(), gathered[:, -2].long()


def scores_of(logits: Tensor, labels: Tensor) -> Scores:
    """Compute the figures from logits (N, C) and labels (N,)."""
    ranked = logits.topk(min(TOP, logits.shape[1]), dim=1).indices
    hits = ranked == labels[:, None]
    right = hits[:, 0].double()
    per_class = [right[labels == label].mean() for label in torch.unique(labels)]
    return Scores(
        clips=len(labels),
        loss=float(cross_entropy(logits.double(), labels)),
        top1=float(right.mean()),
        top5=float(hits.any(dim=1).double().mean()),
        mean_class_accuracy=float(torch.stack(per_class).mean()),
    )
