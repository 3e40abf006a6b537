"""A network's scores of clips: of a batch, and of a pass that scores each clip once on any number of ranks."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tsn.pipeline.loading.loader import EvalPass
from tsn.train.ranks.devices import autocast
from tsn.train.ranks.group import Ranks
from tsn.tsn_shared.console import Progress
from tsn.tsn_shared.errors import DataError

CHUNK = {"cpu": 25, "cuda": 250}
"""Frames that go through the network at once in evaluation, where a clip has no more: VGG16 at 224 pixels takes 26 MB a
frame in fp32."""


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
        frames = batch.plan.frame_indices.shape[1]
        parts.append(clip_scores(model, batch.clips, frames=frames, precision=precision))
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


def clip_scores(network: nn.Module, clips: Tensor, *, frames: int, precision: str) -> Tensor:
    """Return the scores (B, C), float32, of clips (B, T * K, 3, H, W) of T frames, crop k of frame t at t * K + k.

    Each crop is a clip of its own: the network sees its T frames together, and a clip's scores are the mean over its
    crops. A few clips go through the network at a time, so the memory that it takes does not grow with B or K.
    """
    crops, at_once = clips.shape[1] // frames, clips_at_once(frames, clips.device)
    apart = clips.view(len(clips), frames, crops, *clips.shape[2:]).transpose(1, 2)  # (B, K, T, 3, H, W)
    with autocast(precision, clips.device):
        scores = [
            network(part).float()
            for few in torch.split(apart, max(1, at_once // crops))
            for part in torch.split(few.flatten(0, 1), at_once)
        ]
    return torch.cat(scores).view(len(clips), crops, -1).mean(dim=1)


def clips_at_once(frames: int, device: torch.device) -> int:
    """Return how many clips of so many frames go through the network at once: one at least, which is never cut."""
    return max(1, CHUNK[device.type] // frames)


def clip_losses(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return the cross-entropy of each clip (B,), float32, of logits (B, C) and labels (B,)."""
    return cross_entropy(logits.float(), labels, label_smoothing=smoothing, reduction="none")
