"""How fast training goes on this machine, beside the barest loop: forward, backward, step on clips that are ready."""

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import tsn.train.loaders as data
from tsn.pipeline.loading.loader import ClipLoader
from tsn.train.fit.compilation import FALLBACK
from tsn.train.fit.recipe import build_optimizer
from tsn.train.fit.trainer import Trainer
from tsn.train.network.completion import completed
from tsn.train.network.model import build_network
from tsn.train.ranks.devices import autocast, channels_last, count_gpus, precision_of
from tsn.train.ranks.group import Ranks, joined
from tsn.tsn_shared.console import say
from tsn.tsn_shared.settings import TrainSettings
from tsn.tsn_shared.splits import open_split

ROUNDS = 3


class BareLoop:
    """A network and its optimiser on one ready batch: what training could reach if all else were free."""

    def __init__(
        self, model: nn.Module, settings: TrainSettings, *, clips: Tensor, labels: Tensor, precision: str
    ) -> None:
        self.optimizer = build_optimizer(model, settings)
        self._network, self._clips, self._labels, self._precision = model.train(), clips, labels, precision

    def steps(self, count: int) -> None:
        """Take steps."""
        for _ in range(count):
            with autocast(self._precision, self._clips.device):
                logits = self._network(self._clips)
            cross_entropy(logits.float(), self._labels).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


class TrainLoop:
    """The loop of `tsn train` on one rank, loader included: `steps` are an epoch of as many."""

    def __init__(self, model: nn.Module, settings: TrainSettings, ranks: Ranks, loader: ClipLoader, precision: str):
        self.trainer = Trainer(
            model=model, settings=settings, ranks=ranks, num_clips=settings.batch_size, precision=precision
        )
        self.waited: list[float] = []
        self._loader = loader

    def steps(self, count: int) -> None:
        """Take steps, and note which share of their time went on waiting for clips."""
        trainer = self.trainer
        trainer.position, trainer.num_clips = 0, count * trainer.clips_per_step
        self.waited.append(trainer.train_epoch(self._loader, lambda: None).data_wait_share)


@dataclass(frozen=True, kw_only=True)
class TrainSpeed:
    """How fast training is: clips a second of it and of the bare loop, and which share of the latter it reaches.

    `rounds` are those shares by round; `data_wait_share` is the share of its time in which training had nothing to do
    because no batch was there.
    """

    model: str
    batch_size: int
    num_segments: int
    input_size: int
    precision: str
    device: str
    clips_per_second: float
    bare_clips_per_second: float
    share_of_bare: float
    data_wait_share: float
    rounds: tuple[float, ...]

    def plain(self) -> dict[str, object]:
        """Return the figures by name, for JSON."""
        return asdict(self)

    @property
    def words(self) -> str:
        """The figures in words for a person."""
        return (
            f"{self.model}, {self.batch_size} clips of {self.num_segments} frames at {self.input_size} pixels, "
            f"{self.precision} on {self.device}: {self.clips_per_second:,.1f} clips/s, {self.share_of_bare:.1%} of the "
            f"{self.bare_clips_per_second:,.1f} of a bare loop on ready clips; {self.data_wait_share:.1%} of the time "
            "went on waiting for clips"
        )


def bench_train(settings: TrainSettings, *, seconds: float) -> TrainSpeed:
    """Time the loop of `tsn train` and the bare loop in turns, for about `seconds` in all, on one rank."""
    settings, on_gpu = completed(settings), count_gpus(settings.gpus) > 0
    split = open_split(settings)
    with ExitStack() as stack:
        ranks = stack.enter_context(joined(on_gpu=on_gpu))
        precision = precision_of(settings, ranks.device)
        loader = stack.enter_context(data.open_train_loader(split, settings, ranks, position=0))
        batch = next(loader)
        classes = len(split.classes)
        networks = [channels_last(build_network(settings, classes)).to(ranks.device) for _ in range(2)]
        whole = TrainLoop(networks[0], settings, ranks, loader, precision)
        if outcome := whole.trainer.compile():
            say(outcome)
        fast = outcome and not outcome.startswith(FALLBACK)
        bare = BareLoop(
            torch.compile(networks[1]) if fast else networks[1],  # type: ignore[arg-type]
            settings,
            clips=batch.clips,
            labels=batch.labels.to(ranks.device),
            precision=precision,
        )
        rates = in_turns({"bare": bare, "train": whole}, seconds=seconds, clips=settings.batch_size, ranks=ranks)
    ratios = [train / ready for train, ready in zip(rates["train"], rates["bare"], strict=True)]
    return TrainSpeed(
        model=settings.model,
        batch_size=settings.batch_size,
        num_segments=settings.segments,
        input_size=settings.input_pixels,
        precision=precision,
        device=str(ranks.device),
        clips_per_second=median(rates["train"]),
        bare_clips_per_second=median(rates["bare"]),
        share_of_bare=median(ratios),
        data_wait_share=median(whole.waited[-ROUNDS:]),
        rounds=tuple(ratios),
    )


def in_turns(
    loops: dict[str, BareLoop | TrainLoop], *, seconds: float, clips: int, ranks: Ranks
) -> dict[str, list[float]]:
    """Run loops in turns, each as many steps as fit its share of the time; return the clips a second of each turn."""
    for loop in loops.values():
        _timed(loop, 1, ranks)  # the first step allocates
    a_step = max(_timed(loop, 1, ranks) for loop in loops.values())
    count = max(1, int(seconds / ROUNDS / len(loops) / a_step))
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(ROUNDS):
        for name in list(loops) if turn % 2 == 0 else list(reversed(loops)):
            rates[name].append(count * clips / _timed(loops[name], count, ranks))
    return rates


def _timed(loop: BareLoop | TrainLoop, count: int, ranks: Ranks) -> float:
    start = time.perf_counter()
    loop.steps(count)
    if ranks.device.type == "cuda":
        torch.cuda.synchronize(ranks.device)
    return time.perf_counter() - start
