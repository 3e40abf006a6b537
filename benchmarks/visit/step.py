"""The training step on clips that are ready: what the card could do if data were free."""

import gc
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.visit.loading import run, wait
from benchmarks.visit.plan import Sizes
from tsn.train.fit.recipe import build_optimizer
from tsn.train.network.dropout import key_dropout
from tsn.train.network.model import build_model
from tsn.tsn_shared.settings import TrainSettings

CLASSES = 101


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to take a step; `autotuned` lets Inductor try its kernels, and cuBLAS's, against each other."""

    precision: str = "bf16"
    batch: int
    channels_last: bool = True
    compiled: bool = False
    autotuned: bool = False
    graph: bool = False

    @property
    def name(self) -> str:
        """The variant in words."""
        ways = {
            "channels_last": self.channels_last,
            "compile": self.compiled,
            "autotuned": self.autotuned,
            "CUDA graph": self.graph,
        }
        return ", ".join([f"{self.precision}, batch {self.batch}", *(way for way, used in ways.items() if used)])


def variants(sizes: Sizes, *, on_gpu: bool) -> list[Variant]:
    """Return the ways that are compared; the last is the one that `tsn train` takes by default."""
    plain = Variant(batch=sizes.batch)
    others = [replace(plain, precision="fp32"), replace(plain, channels_last=False), plain]
    if not on_gpu:
        return others
    fast = replace(plain, compiled=True)
    # measured from the last to the first: what takes longest to compile comes last
    more = (replace(fast, batch=batch) for batch in reversed(sizes.batches))
    return [replace(fast, autotuned=True), *others, replace(fast, graph=True), *more]


class TrainStep:
    """A network, its optimiser and a batch of noise; calling it takes a step."""

    def __init__(self, variant: Variant, sizes: Sizes, device: torch.device) -> None:
        free(device)
        self._variant, self._device = variant, device
        torch.manual_seed(0)
        layout = torch.channels_last if variant.channels_last else torch.contiguous_format
        model = build_model(sizes.model, num_classes=CLASSES, dropout=0.9).to(device).to(memory_format=layout)
        key_dropout(model, seed=0, batch_size=variant.batch, device=device)
        self._optimizer = build_optimizer(model, TrainSettings(model=sizes.model))
        mode = "max-autotune-no-cudagraphs" if variant.autotuned else None
        fast = torch.compile(model, dynamic=False, mode=mode) if variant.compiled else model
        self._network: nn.Module = fast  # type: ignore[assignment]
        frames = torch.randn(variant.batch * sizes.segments, 3, sizes.input_size, sizes.input_size, device=device)
        self._clips = frames.to(memory_format=layout).view(variant.batch, sizes.segments, *frames.shape[1:])
        self._labels = torch.randint(CLASSES, (variant.batch,), device=device)
        self._graph = self._captured() if variant.graph else None

    def __call__(self) -> None:
        """Take a step; on a GPU it may still run when this returns."""
        if self._graph is not None:
            self._graph.replay()
        else:
            self._step()

    def _step(self) -> Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        half = self._variant.precision == "bf16"
        with torch.autocast(self._device.type, torch.bfloat16, cache_enabled=False) if half else nullcontext():
            logits = self._network(self._clips)
        loss = cross_entropy(logits.float(), self._labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return loss

    def _captured(self) -> torch.cuda.CUDAGraph:
        """Record a step as a CUDA graph, after three on a side stream as the recording needs."""
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        return graph


def free(device: torch.device) -> None:
    """Let go of what the variant before held, and begin to count the most memory anew."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int | None:
    """Return the most bytes that tensors took on the GPU since the last `free`."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def matmul_flops(size: int, device: torch.device, rounds: int = 20) -> float:
    """Return the operations a second of a square bf16 product of random numbers: what the card gives at most."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        torch.mm(a, b)
    seconds, _ = run(lambda: torch.mm(a, b), rounds, device)
    return 2 * size**3 / seconds


def forward_flops(sizes: Sizes) -> int:
    """Count the operations of a forward pass over one frame, a multiplication and an addition as two."""
    with torch.device("meta"):
        model = build_model(sizes.model, num_classes=CLASSES, dropout=0.9).eval()
        clips = torch.empty(1, 1, 3, sizes.input_size, sizes.input_size)
    with FlopCounterMode(display=False) as counter:
        model(clips)
    return int(counter.get_total_flops())


def mfu(clips_per_second: float, sizes: Sizes, peak: float) -> float:
    """Return the share of `peak` operations a second that training uses; backward counts as two forward passes."""
    return clips_per_second * sizes.segments * 3 * forward_flops(sizes) / peak


def kernels(step: TrainStep, device: torch.device, *, top: int = 8, steps: int = 5) -> Iterator[tuple[str, float]]:
    """Yield the longest kernels (on the CPU, operators) of a step and their share of it, and what is left."""
    on_gpu = device.type == "cuda"
    for _ in range(3):
        step()
    wait(device)
    with torch.profiler.profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            step()
        wait(device)
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    times = sorted(((getattr(event, key), event.key) for event in profiler.key_averages()), reverse=True)
    whole = sum(time for time, _ in times)
    for time, name in times[:top]:
        yield name[:60], time / whole
    yield "all others", sum(time for time, _ in times[top:]) / whole
