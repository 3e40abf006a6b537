"""The training loop of one rank: from a position in the stream to the end of the last epoch.

The position, clips served over all ranks, is the only clock: epochs, the learning rate, the loader's draws and the
dropout masks follow from it. Nothing else is random, so a checkpoint resumes exactly.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tsn.pipeline.loading.loader import Batch, EvalPass
from tsn.train.fit.compilation import FALLBACK, compiled, where_kernels_are_kept
from tsn.train.fit.contents import Tally, TrainingState
from tsn.train.fit.data_wait import DataWait
from tsn.train.fit.recipe import base_lr, build_optimizer, learning_rate, set_learning_rate
from tsn.train.fit.rehearsal import Rehearsal
from tsn.train.history import Row
from tsn.train.metrics import Metrics, metrics_of
from tsn.train.network.dropout import key_dropout
from tsn.train.ranks.devices import autocast, compiles
from tsn.train.ranks.group import Ranks
from tsn.train.ranks.stop import StopRequest
from tsn.train.scores import clip_losses, score_clips
from tsn.tsn_shared.console import Progress
from tsn.tsn_shared.errors import NotFiniteError, StoppedError
from tsn.tsn_shared.settings import TrainSettings

READ_EVERY, READ_SECONDS = 50, 1.0
"""Most steps, and about how many seconds, between two looks at the sums: the only times when the host waits."""

_NAT = 2**24
"""Losses are summed as whole numbers of 2**-24 nats, so that a sum is the same in any order and on any ranks."""


@dataclass(kw_only=True)
class Trainer:
    """A network in training on one rank; `position`, `step`, `tally` and the optimiser are its whole state."""

    model: nn.Module
    settings: TrainSettings
    ranks: Ranks
    num_clips: int
    precision: str
    stop: StopRequest = field(default_factory=StopRequest)
    name_clips: Callable[[list[int]], Sequence[str]] = lambda positions: [f"clip {position}" for position in positions]
    position: int = field(default=0, init=False)
    step: int = field(default=0, init=False)
    tally: Tally = field(default_factory=Tally, init=False)

    def __post_init__(self) -> None:
        device, batch = self.ranks.device, self.settings.batch_size
        self._positions = key_dropout(self.model, seed=self.settings.seed, batch_size=batch, device=device)
        self._own = torch.arange(batch, device=device) + self.ranks.rank * batch  # this rank's part of a global batch
        self.optimizer = build_optimizer(self.model, self.settings)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self._base_lr = base_lr(self.settings, self.clips_per_step)
        self._lr = 0.0
        self._sums = torch.zeros(2, dtype=torch.int64, device=device)  # this rank's part of the tally's loss and hits
        self._bad = torch.zeros(self.clips_per_step, dtype=torch.int64, device=device)
        self._next_reading, self._last_reading = 0, (0, time.monotonic())
        self._data_wait = DataWait(device)
        self._ddp = self._distributed() if self.ranks.grouped else None
        self._network: nn.Module = self._ddp or self.model
        self._scored = self.model  # without DDP, which speaks to the other ranks at every pass
        self._rehearsal = Rehearsal(
            model=self.model, ddp=self._ddp, settings=self.settings, precision=self.precision, device=device
        )

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

    def compile(self) -> str:
        """Compile the network for training and validation if the settings say so; return how that went, else ''.

        It happens in a rehearsal, so that no batch waits for it.
        """
        if not compiles(self.settings, self.ranks.device):
            return ""
        start = time.monotonic()
        networks, reason = compiled((self._network, self._scored), self._rehearsal.run, self.ranks)
        if reason:
            return f"{FALLBACK} ({reason}): training goes on without it, slower"
        self._network, self._scored = networks
        kept = where_kernels_are_kept()
        return f"compiled in {time.monotonic() - start:.1f} s; what {kept} keeps of it makes the next start quicker"

    def pace(self) -> float:
        """Return the clips a second that this rank trains on at most, other ranks and the optimiser left out."""
        return self._rehearsal.pace(self._network)

    def train_epoch(self, batches: Iterator[Batch], save: Callable[[], None]) -> Row:
        """Train to the end of the current epoch and return its row, without validation; `save()` at checkpoints.

        Raises StoppedError after a `save()` if a rank was asked to stop, NotFiniteError if a loss was not finite.
        """
        epoch, self._network = self.epoch, self._network.train()
        left = -(-((epoch + 1) * self.num_clips - self.position) // self.clips_per_step)
        start, before, waited_before = time.monotonic(), self.tally.seconds, self.tally.waited
        every = self.settings.save_every
        with Progress(f"epoch {epoch}", total=left, unit="step", visible=self.ranks.is_first) as progress:
            while self.epoch == epoch:
                self.take_step(batches)
                self.tally.seconds = before + time.monotonic() - start
                progress.advance(clips=self.clips_per_step)
                at_checkpoint = every is not None and self.step % every == 0
                stopped = False
                if at_checkpoint or self.step >= self._next_reading:
                    stopped = self.read_sums()
                    progress.note = self._so_far()
                if (at_checkpoint or stopped) and self.epoch == epoch:
                    save()
                    if stopped:
                        raise StoppedError(f"stopped by a signal at step {self.step}, which is saved")
        self.read_sums()
        self.tally.seconds = before + time.monotonic() - start
        waited = torch.tensor(self.tally.waited - waited_before, dtype=torch.float64, device=self.ranks.device)
        return self._row(epoch, self.ranks.max(waited).item(), self.tally.seconds - before)

    def try_step(self, batches: Iterator[Batch]) -> str:
        """Take one step, and return the loss and accuracy of the epoch so far in words.

        NotFiniteError if its loss was not finite.
        """
        self._network = self._network.train()
        self.take_step(batches)
        self.read_sums()
        return self._so_far()

    def validate(self, wanted: EvalPass) -> Metrics:
        """Score every clip of a pass once, with the first rank's buffers (batch normalisation's statistics) on all."""
        for buffer in self.model.buffers():
            self.ranks.broadcast(buffer)
        logits, labels = score_clips(self._scored, wanted, ranks=self.ranks, precision=self.precision)
        return metrics_of(logits, labels)

    def read_sums(self) -> bool:
        """Bring the device's sums over all ranks into the tally; return whether a rank was asked to stop.

        A loss that was not finite ends the run here; no step was taken since. The first rank's pace says when to look
        again, so that all look at the same step.
        """
        words = [int(self.stop.asked), self._pace() if self.ranks.is_first else 0]
        words_there = torch.tensor(words, dtype=torch.int64, device=self.ranks.device)
        sums = torch.cat([self._sums, words_there, self._bad.any().long()[None]])
        self.tally.loss, self.tally.hits, stops, pace, bad = self.ranks.sum(sums).tolist()
        self.tally.waited += self._data_wait.read()  # after the sums: the device has come as far as this
        if bad:
            raise self._not_finite([position - 1 for position in self._bad.tolist() if position])
        self._next_reading = self.step + pace
        return bool(stops)

    def state(self) -> TrainingState:
        """Return all that the next step depends on; its tensors are the trainer's own, which that step changes."""
        return TrainingState(
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scaler=self._scaler.state_dict(),
            position=self.position,
            step=self.step,
            tally=replace(self.tally),
        )

    def load_state(self, state: TrainingState) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(dict(state.optimizer))
        self._scaler.load_state_dict(dict(state.scaler))
        self.position, self.step, self.tally = state.position, state.step, replace(state.tally)
        self._last_reading = (self.step, time.monotonic())
        if self.ranks.is_first:  # the others begin at 0: what counts is the sum over all
            self._sums.copy_(torch.tensor([self.tally.loss, self.tally.hits]))

    def take_step(self, batches: Iterator[Batch]) -> None:
        """Take an optimiser step on the next `accumulate` batches; nothing is fetched from the device."""
        settings, ranks = self.settings, self.ranks
        self._lr = learning_rate(settings, base=self._base_lr, position=self.position, num_clips=self.num_clips)
        set_learning_rate(self.optimizer, self._lr)
        bad = []
        for part in range(settings.accumulate):
            with self._data_wait:
                batch = next(batches)
            torch.add(self._own, self.position + part * settings.batch_size * ranks.world_size, out=self._positions)
            losses = self._backward(batch, last=part == settings.accumulate - 1)
            bad.append(torch.where(torch.isfinite(losses), 0, self._positions + 1))
        self._note_bad(torch.cat(bad))
        self._optimizer_step()
        self.optimizer.zero_grad(set_to_none=True)
        self.position += self.clips_per_step
        self.step += 1
        self.tally.clips += self.clips_per_step

    def _backward(self, batch: Batch, *, last: bool) -> Tensor:
        """Add the batch's gradients and its sums; return the losses of its clips (B,), detached."""
        labels = batch.labels.to(self.ranks.device, non_blocking=True)
        if self._ddp is not None:
            self._ddp.require_backward_grad_sync = last  # gradients travel once a step
        with autocast(self.precision, self.ranks.device):
            logits = self._network(batch.clips)
        losses = clip_losses(logits, labels, self.settings.label_smoothing)
        self._scaler.scale(losses.mean() / self.settings.accumulate).backward()  # type: ignore[no-untyped-call]
        losses = losses.detach()
        hits = (logits.detach().argmax(dim=1) == labels).sum()
        self._sums += torch.stack([(losses.double() * _NAT).round().long().sum(), hits])
        return losses

    def _note_bad(self, bad: Tensor) -> None:
        """Keep the first step's losses that were not finite, on every rank, without asking the host.

        A clip is noted as its position + 1, and 0 says that its loss was finite. Each rank fills in its own part of a
        row of zeros, so the maximum over ranks is the whole row; once a step was bad, later ones are not looked at.
        """
        first = self.ranks.rank * len(bad)
        everywhere = torch.zeros_like(self._bad)
        everywhere[first : first + len(bad)] = bad
        self._bad = torch.where(self._bad.any(), self._bad, self.ranks.max(everywhere))

    def _optimizer_step(self) -> None:
        """Step, unless a loss was not finite: the fused kernel then leaves the weights, without asking the host."""
        bad = self._bad.any().float()
        if self._scaler.is_enabled():
            # under fp16 the scaler sets `found_inf` itself, by what it finds in the gradients: so one is spoilt
            gradient = next(p.grad for p in self.model.parameters() if p.grad is not None)
            gradient += torch.where(bad > 0, torch.nan, 0.0)
        else:
            # fused optimisers read this tensor on the device and skip the step where it is 1; others would not look
            self.optimizer.found_inf = bad  # type: ignore[attr-defined]
        if self.settings.clip_grad is not None:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_grad)
        self._scaler.step(self.optimizer)
        self._scaler.update()

    def _pace(self) -> int:
        """Return how many steps take about READ_SECONDS, as the last ones went."""
        (step, then), now = self._last_reading, time.monotonic()
        self._last_reading = (self.step, now)
        return min(max(int(READ_SECONDS * (self.step - step) / max(now - then, 1e-9)), 1), READ_EVERY)

    def _not_finite(self, positions: list[int]) -> NotFiniteError:
        steps_ago = -(-(self.position - positions[0]) // self.clips_per_step)
        start = self.position - steps_ago * self.clips_per_step
        lr = learning_rate(self.settings, base=self._base_lr, position=start, num_clips=self.num_clips)
        names = list(self.name_clips(positions[:4])) + ([f"{len(positions) - 4} more"] if len(positions) > 4 else [])
        return NotFiniteError(
            f"the loss was not finite at step {self.step - steps_ago + 1} (learning rate {lr:.3g}) on "
            f"{len(positions)} of {self.clips_per_step} clips ({', '.join(names)}); that step was not taken: "
            "lower --lr, set --clip-grad, or use --precision fp32"
        )

    def _so_far(self) -> str:
        tally = self.tally
        return f"loss {tally.loss / _NAT / tally.clips:.3f}, top-1 {tally.hits / tally.clips:.1%}"

    def _row(self, epoch: int, waited: float, seconds: float) -> Row:
        tally, self.tally = self.tally, Tally()
        self._sums.zero_()
        return Row(
            epoch=epoch,
            step=self.step,
            lr=self._lr,
            train_loss=tally.loss / _NAT / tally.clips,
            train_top1=tally.hits / tally.clips,
            clips_per_second=tally.clips / max(tally.seconds, 1e-9),
            data_wait_share=waited / max(seconds, 1e-9),
            seconds=tally.seconds,
        )

    def _distributed(self) -> DistributedDataParallel:
        device = self.ranks.device
        return DistributedDataParallel(
            self.model, device_ids=[device.index] if device.type == "cuda" else None, gradient_as_bucket_view=True
        )
