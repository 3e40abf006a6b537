"""The training loop of one rank: from a position in the stream to the end of the last epoch.

The position, clips served over all ranks, is the only clock: epochs, the learning rate and the draws follow from it,
and so does the dropout of a step, whose generator is seeded with (seed, position, rank). Nothing else is random, so a
checkpoint resumes exactly.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from pipeline.loader import Batch, ClipLoader
from pipeline.schedule import first_step
from train.evaluation import Scores, autocast, score_clips, scores_of
from train.ranks import Ranks
from train.recipe import base_lr, build_optimizer, learning_rate
from train.run_folder import Row
from tsn_shared.console import Progress
from tsn_shared.draws import philox
from tsn_shared.errors import DataError
from tsn_shared.settings import TrainSettings

READ_EVERY = 50
"""Steps between two looks at the device's sums: the only times when the host waits for it."""


@dataclass(kw_only=True)
class Tally:
    """Sums over the steps of an epoch so far: of the loss and the hits, in clips, and of seconds."""

    loss: float = 0.0
    hits: float = 0.0
    clips: int = 0
    seconds: float = 0.0
    waited: float = 0.0


@dataclass(kw_only=True)
class Trainer:
    """A network in training on one rank; `position`, `step`, `tally` and the optimiser are its whole state."""

    model: nn.Module
    settings: TrainSettings
    ranks: Ranks
    num_clips: int
    precision: str
    position: int = 0
    step: int = 0
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.optimizer = build_optimizer(self.model, self.settings)
        self._scaler = torch.amp.GradScaler(self.ranks.device.type, enabled=self.precision == "fp16")
        self._base_lr = base_lr(self.settings, self.clips_per_step)
        self._lr = 0.0
        device = self.ranks.device
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)  # loss * clips and hits since the last reading
        self._bad = torch.zeros((), device=device)
        self._network = self._wrapped()

    @property
    def clips_per_step(self) -> int:
        """Clips that one optimiser step takes over all ranks."""
        return self.settings.batch_size * self.ranks.world_size * self.settings.accumulate

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to."""
        return self.position // self.num_clips

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.settings.num_epochs

    def train_epoch(self, loader: ClipLoader, save: Callable[[], None]) -> Row:
        """Train to the end of the epoch at hand and return its row, less the validation; `save()` at checkpoints."""
        epoch, self._network = self.epoch, self._network.train()
        total = first_step(epoch + 1, num_clips=self.num_clips, clips_per_step=self.clips_per_step)
        left = total - self.position // self.clips_per_step
        start, before, waited_before = time.monotonic(), self.tally.seconds, self.tally.waited
        with Progress(f"epoch {epoch}", total=left, unit="step", visible=self.ranks.is_first) as progress:
            while self.epoch == epoch:
                self._take_step(loader)
                self.tally.seconds = before + time.monotonic() - start
                progress.advance(clips=self.clips_per_step)
                every = self.settings.save_every
                at_checkpoint = every is not None and self.step % every == 0
                if at_checkpoint or self.step % READ_EVERY == 0:
                    self.read_sums()
                if at_checkpoint and self.epoch == epoch:
                    save()
        self.read_sums()
        self.tally.seconds = before + time.monotonic() - start
        return self._row(epoch, self.tally.waited - waited_before, self.tally.seconds - before)

    def validate(self, loader: ClipLoader, *, loads: int, clips: int) -> Scores:
        """Score every test clip once, with the first rank's buffers (batch normalisation's statistics) on all."""
        for buffer in self.model.buffers():
            self.ranks.broadcast(buffer)
        logits, labels = score_clips(
            self._network_alone(), loader, loads=loads, clips=clips, ranks=self.ranks, precision=self.precision
        )
        return scores_of(logits, labels)

    def read_sums(self) -> None:
        """Bring the device's sums over all ranks into the tally; a loss that was not finite ends the run here."""
        sums = self.ranks.sum(torch.cat([self._sums, self._bad.double()[None]])).tolist()
        self._sums.zero_()
        if sums[2] > 0:
            raise DataError(
                f"the loss was not finite before step {self.step} (learning rate {self._lr:.3g}); no step was taken "
                "since: lower --lr, set --clip-grad, or use --precision fp32"
            )
        self.tally.loss += sums[0]
        self.tally.hits += sums[1]

    def state(self) -> dict[str, Any]:
        """Return the state as tensors and plain Python."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "position": self.position,
            "step": self.step,
            "tally": vars(self.tally).copy(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self.position, self.step, self.tally = state["position"], state["step"], Tally(**state["tally"])

    def _take_step(self, loader: ClipLoader) -> None:
        settings, ranks = self.settings, self.ranks
        self._lr = learning_rate(settings, base=self._base_lr, position=self.position, num_clips=self.num_clips)
        for group in self.optimizer.param_groups:
            group["lr"] = self._lr
        torch.manual_seed(step_seed(seed=settings.seed, position=self.position, rank=ranks.rank))
        bad = torch.zeros((), dtype=torch.float64, device=ranks.device)
        for part in range(settings.accumulate):
            waiting = time.monotonic()
            batch = next(loader)
            self.tally.waited += time.monotonic() - waiting
            bad += ~torch.isfinite(self._backward(batch, last=part == settings.accumulate - 1))
        if settings.clip_grad is not None:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_grad)
        self._bad = torch.maximum(self._bad, (ranks.sum(bad) > 0).float())
        self._optimizer_step()
        self.optimizer.zero_grad(set_to_none=True)
        self.position += self.clips_per_step
        self.step += 1
        self.tally.clips += self.clips_per_step

    def _optimizer_step(self) -> None:
        """Step, unless a loss was not finite: the fused kernel then leaves the weights, without asking the host."""
        if self._scaler.is_enabled():
            self._scaler.step(self.optimizer)
            self._scaler.update()
            return
        self.optimizer.found_inf = self._bad  # type: ignore[attr-defined]
        self.optimizer.step()

    def _backward(self, batch: Batch, *, last: bool) -> Tensor:
        """Add the batch's gradients and its sums; return its loss, detached."""
        labels = batch.labels.to(self.ranks.device, non_blocking=True)
        if isinstance(self._network, DistributedDataParallel):
            self._network.require_backward_grad_sync = last  # gradients travel once a step
        with autocast(self.precision, self.ranks.device):
            logits = self._network(batch.clips)
        loss = cross_entropy(logits.float(), labels, label_smoothing=self.settings.label_smoothing)
        self._scaler.scale(loss / self.settings.accumulate).backward()  # type: ignore[no-untyped-call]
        hits = (logits.detach().argmax(dim=1) == labels).sum()
        self._sums += torch.stack([loss.detach().double() * len(labels), hits.double()])
        return loss.detach()

    def _row(self, epoch: int, waited: float, seconds: float) -> Row:
        tally, self.tally = self.tally, Tally()
        return {
            "epoch": epoch,
            "step": self.step,
            "lr": self._lr,
            "train_loss": tally.loss / tally.clips,
            "train_top1": tally.hits / tally.clips,
            "clips_per_second": tally.clips / max(tally.seconds, 1e-9),
            "data_wait_share": waited / max(seconds, 1e-9),
            "seconds": tally.seconds,
        }

    def _wrapped(self) -> nn.Module:
        network: nn.Module = self.model
        compiled = self.settings.compile
        if compiled if compiled is not None else self.ranks.device.type == "cuda":
            network = torch.compile(network)  # type: ignore[assignment]
        if self.ranks.world_size > 1:
            network = DistributedDataParallel(
                network,
                device_ids=[self.ranks.local_rank] if self.ranks.device.type == "cuda" else None,
                gradient_as_bucket_view=True,
            )
        return network

    def _network_alone(self) -> nn.Module:
        return self._network.module if isinstance(self._network, DistributedDataParallel) else self._network


def step_seed(*, seed: int, position: int, rank: int) -> int:
    """Return the seed of a step's dropout on a rank."""
    words = philox((position & 0xFFFFFFFF, position >> 32, rank, 0xD0), seed)
    return int(words[0]) << 31 | int(words[1]) >> 1


def expected_first_loss(num_classes: int) -> float:
    """Return the loss of a network that knows nothing yet: ln C."""
    return math.log(num_classes)
