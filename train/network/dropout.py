"""Dropout whose masks belong to the clips: a pure function of (seed, position of the clip in the stream, layer).

torch's own dropout draws from one generator a process, so its masks change with the batch and the number of ranks.
Here a clip's masks are the same wherever it is trained, so the same global batch gives the same losses on any number
of ranks, and a restart needs no generator's state. The draws are those of `tsn.tsn_shared.draws`, made on the device.
"""

import torch
from torch import Tensor, nn

from tsn.tsn_shared.draws import DROPOUT, philox_words


class ClipDropout(nn.Dropout):
    """Dropout of features (B * S, F) whose rows b*S to (b+1)*S belong to the clip at `positions[b]` of the stream."""

    def __init__(self, p: float, *, seed: int, layer: int, positions: Tensor) -> None:
        super().__init__(p)
        self.seed, self.layer, self.positions = seed, layer, positions

    def forward(self, features: Tensor) -> Tensor:
        """Drop features in training and scale the others by 1 / (1 - p); change nothing in evaluation."""
        if not self.training or self.p == 0:
            return features
        numbers = features.numel() // len(self.positions)
        blocks = torch.arange((numbers + 3) // 4, device=features.device)
        words = philox(self.positions[:, None], blocks[None, :], seed=self.seed, purpose=DROPOUT + self.layer)
        kept = words.flatten(1)[:, :numbers].reshape(features.shape) >= int(self.p * 2**32)
        return features * kept * (1 / (1 - self.p) if self.p < 1 else 0.0)


def key_dropout(model: nn.Module, *, seed: int, batch_size: int, device: torch.device) -> Tensor:
    """Put a ClipDropout in place of each dropout of a model that drops any.

    Returns the positions (B,), int64, that they all read. Fill them before each forward pass with where the batch's
    clips stand in the stream, counted over all ranks.
    """
    positions = torch.zeros(batch_size, dtype=torch.int64, device=device)
    found = [(parent, name) for parent in model.modules() for name, child in parent.named_children() if _plain(child)]
    for layer, (parent, name) in enumerate(found):
        setattr(parent, name, ClipDropout(getattr(parent, name).p, seed=seed, layer=layer, positions=positions))
    return positions


def philox(positions: Tensor, blocks: Tensor, *, seed: int, purpose: int) -> Tensor:
    """Return Philox4x32-10 of the counters (position's low word, its high word, block, purpose): int64, (B, N, 4).

    `positions` are (B, 1), `blocks` (1, N), both int64.
    """
    words = torch.broadcast_tensors(*philox_words((positions, positions >> 32, blocks, purpose), seed))  # type: ignore[no-untyped-call]
    return torch.stack(words, dim=-1)


def _plain(module: nn.Module) -> bool:
    return isinstance(module, nn.Dropout) and not isinstance(module, ClipDropout) and module.p > 0
