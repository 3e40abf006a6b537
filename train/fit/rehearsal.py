"""Passes over clips of zeros that leave no trace: what compiles a network before the first batch, and times it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tsn.train.ranks.devices import autocast, clips_dtype
from tsn.train.scores import clip_losses, clip_scores
from tsn.tsn_shared.settings import TrainSettings

PACE_PASSES = 5
"""Passes that are timed to learn how fast a rank trains."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rehearsal:
    """How training passes over a model on a device; `ddp` holds the model where there are several ranks."""

    model: nn.Module
    ddp: DistributedDataParallel | None
    settings: TrainSettings
    precision: str
    device: torch.device

    def run(self, networks: Sequence[nn.Module]) -> None:
        """Run the first network as training does, forward and backward, and the second as validation does."""
        trained, scored = networks
        with self._no_trace():
            clips = self._zeros()
            self._pass(trained.train(), clips)
            clips = clips.float()
            with torch.inference_mode():
                clip_scores(scored.eval(), clips, frames=self.settings.snippets.frames, precision=self.precision)

    def pace(self, network: nn.Module) -> float:
        """Return the clips a second that passes of this rank take at most: forward and backward on ready clips."""
        clips = self._zeros()
        with self._no_trace():
            for count in (2, PACE_PASSES):
                start = time.monotonic()
                for _ in range(count):
                    self._pass(network.train(), clips)
                if clips.is_cuda:
                    torch.cuda.synchronize(clips.device)
        return len(clips) * PACE_PASSES / (time.monotonic() - start)

    def _pass(self, network: nn.Module, clips: Tensor) -> None:
        labels = torch.zeros(len(clips), dtype=torch.int64, device=self.device)
        with autocast(self.precision, self.device):
            logits = network(clips)
        clip_losses(logits, labels, self.settings.label_smoothing).mean().backward()  # type: ignore[no-untyped-call]

    @contextmanager
    def _no_trace(self) -> Iterator[None]:
        """Take back what passes change, gradients and batch statistics, and let them speak to no other rank."""
        before, ddp = [buffer.clone() for buffer in self.model.buffers()], self.ddp
        if ddp is not None:  # what its no_sync() sets, and what that sets too late for the first pass
            synced = ddp.require_backward_grad_sync, ddp.require_forward_param_sync
            ddp.require_backward_grad_sync = ddp.require_forward_param_sync = False
        try:
            yield
        finally:
            if ddp is not None:
                ddp.require_backward_grad_sync, ddp.require_forward_param_sync = synced
            self.model.zero_grad(set_to_none=True)
            for buffer, values in zip(self.model.buffers(), before, strict=True):
                buffer.copy_(values)

    def _zeros(self) -> Tensor:
        """Return a batch of zeros, laid out as the loader's."""
        settings, size = self.settings, self.settings.input_pixels
        shape = (settings.batch_size, settings.snippets.frames, size, size, 3)
        return torch.zeros(shape, dtype=clips_dtype(self.precision, self.device), device=self.device).permute(
            0, 1, 4, 2, 3
        )
