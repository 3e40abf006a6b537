"""What scores are worth: loss and accuracies over clips, by class, and which class was taken for which."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

TOP = 5
"""Of so many classes or fewer each clip is among the best five: no figure is given."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Figures of a pass, as fractions from 0 to 1: loss is the mean cross-entropy in nats.

    `top5` is None where there are at most five classes.
    """

    clips: int
    loss: float
    top1: float
    top5: float | None
    mean_class_accuracy: float

    def plain(self) -> dict[str, float | None]:
        """Return the figures by name."""
        return asdict(self)


def metrics_of(logits: Tensor, labels: Tensor) -> Metrics:
    """Compute the figures from logits (N, C) and labels (N,)."""
    ranked = logits.topk(min(TOP, logits.shape[1]), dim=1).indices
    hits = ranked == labels[:, None]
    right = hits[:, 0].double()
    per_class = [right[labels == label].mean() for label in torch.unique(labels)]
    return Metrics(
        clips=len(labels),
        loss=float(cross_entropy(logits.double(), labels)),
        top1=float(right.mean()),
        top5=_share(hits) if logits.shape[1] > TOP else None,
        mean_class_accuracy=float(torch.stack(per_class).mean()),
    )


Z = 1.959964
"""Of the normal distribution, so many deviations about the mean hold 95 %."""


def interval(share: float, clips: int) -> tuple[float, float]:
    """Return between what a share that was seen of so many clips lies with 95 % confidence (Wilson, JASA 1927).

    As if the clips were independent; those of one scene are not, so it is wider rather than narrower.
    """
    square = Z * Z / clips
    centre = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / clips + square / (4 * clips))
    return max(centre - half, 0.0), min(centre + half, 1.0)


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """How the clips of one class fared; `taken_for` is the class most often given in error, None without errors.

    `top5` is None where there are at most five classes.
    """

    name: str
    clips: int
    top1: float
    top5: float | None
    taken_for: str | None
    times: int


def class_metrics(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> list[ClassMetrics]:
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
            ClassMetrics(
                name=classes[label],
                clips=len(mine),
                top1=right / len(mine),
                top5=_share(mine == label) if logits.shape[1] > TOP else None,
                taken_for=classes[int(wrong)] if times else None,
                times=int(times),
            )
        )
    return rows


def _share(hits: Tensor) -> float:
    """Return the share of clips that have a hit, of hits (N, K)."""
    return float(hits.any(dim=1).double().mean())


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """Count how often clips of class i (row) were taken for class j (column): (C, C), int64."""
    classes = logits.shape[1]
    return torch.bincount(labels * classes + logits.argmax(dim=1), minlength=classes**2).view(classes, classes)
