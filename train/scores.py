"""Scoring: logits of every clip exactly once on any number of ranks, and the figures that follow from them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tsn.pipeline.loading.loader import EvalPass
from tsn.train.ranks.group import Ranks
from tsn.tsn_shared.console import Progress
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.settings import TrainSettings

TOP = 5

CHUNK = {"cpu": 25, "cuda": 250}
"""Frames that go through the network at once in evaluation: VGG16 at 224 pixels takes 26 MB a frame in fp32."""


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


def precision_of(settings: TrainSettings, device: torch.device) -> str:
    """Return the precision that the settings ask for: where they do not say, bf16 on a GPU and fp32 on the CPU."""
    return settings.precision or ("bf16" if device.type == "cuda" else "fp32")


def clips_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of the clips that training takes at this precision: what autocast on a GPU makes of them anyway.

    float16 takes half the memory; on the CPU the loader makes float32.
    """
    return torch.float16 if device.type == "cuda" and precision != "fp32" else torch.float32


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a network runs at this precision (fp32, bf16 or fp16)."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


@torch.inference_mode()
def score_clips(
    model: nn.Module,
    wanted: EvalPass,
    *,
    ranks: Ranks,
    precision: str,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """Run a pass over clips and return the logits (N, C), float32, and labels (N,), int64, of all of them.

    Both lie on the CPU in the order of the split; the padding is dropped.
    """
    model.eval()
    parts, plans = [], []
    for batch in wanted.batches:
        parts.append(consensus(model, batch.clips, precision=precision))
        columns = (batch.plan.rows, batch.plan.labels, batch.plan.valid)
        plans.append(torch.stack([torch.from_numpy(column).long() for column in columns], dim=1))
        if progress is not None:
            progress.advance(clips=int(batch.plan.valid.sum()) * ranks.world_size)
    logits = ranks.gather(torch.cat(parts)).cpu()
    rows, labels, valid = ranks.gather(torch.cat(plans).to(ranks.device)).cpu().unbind(1)
    kept = valid.nonzero().flatten()
    kept = kept[rows[kept].argsort()]
    if not torch.equal(rows[kept], torch.arange(wanted.clips)):
        raise DataError(f"{len(kept)} of {wanted.clips} clips were scored: each must be scored once")
    return logits[kept], labels[kept]


def consensus(model: nn.Module, clips: Tensor, *, precision: str) -> Tensor:
    """Return the mean of the frames' logits, (B, C) float32, of clips (B, F, 3, H, W): F segments, or segments x crops.

    The frames go through the network a few at a time, so the memory it takes does not grow with F.
    """
    chunk = CHUNK[clips.device.type]
    with autocast(precision, clips.device):
        frames = clips.flatten(0, 1).unsqueeze(1)  # a frame as a clip of one segment: its consensus is its own logits
        logits = torch.cat([model(part).float() for part in torch.split(frames, chunk)])
    return logits.view(*clips.shape[:2], -1).mean(dim=1)


def clip_losses(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return the cross-entropy of each clip (B,), float32, of logits (B, C) and labels (B,)."""
    return cross_entropy(logits.float(), labels, label_smoothing=smoothing, reduction="none")


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


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """How the clips of one class fared; `taken_for` is the class most often given in error, None without errors."""

    name: str
    clips: int
    top1: float
    top5: float
    taken_for: str | None
    times: int


def per_class(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> list[ClassScore]:
    """Return a row for each class that has clips, in the order of the labels."""
    ranked = logits.topk(min(TOP, logits.shape[1]), dim=1).indices
    rows = []
    for label in torch.unique(labels).tolist():
        mine = ranked[labels == label]
        given = torch.bincount(mine[:, 0], minlength=len(classes))
        right = int(given[label])
        given[label] = 0
        times, wrong = given.max(dim=0)
        rows.append(
            ClassScore(
                name=classes[label],
                clips=len(mine),
                top1=right / len(mine),
                top5=float((mine == label).any(dim=1).double().mean()),
                taken_for=classes[int(wrong)] if times else None,
                times=int(times),
            )
        )
    return rows


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """Count how often clips of class i (row) were taken for class j (column): (C, C), int64."""
    classes = logits.shape[1]
    return torch.bincount(labels * classes + logits.argmax(dim=1), minlength=classes**2).view(classes, classes)
