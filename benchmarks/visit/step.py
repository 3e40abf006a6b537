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
from train.model import build_model
from train.recipe import build_optimizer
from tsn_shared.settings import TrainSettings

CLASSES = 101


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to take a step; `tuned` has cuDNN try its algorithms first.

    fp32 lets convolutions round their inputs to TF32, as torch does by itself; tf32 products too, fp32 throughout none.
    """

    precision: str
    batch: int
    channels_last: bool = True
    compiled: bool = False
    graph: bool = False
    tuned: bool = False

    @property
    def name(self) -> str:
        """The variant in words."""
        ways = {
            "channels_last": self.channels_last,
            "compile": self.compiled,
            "CUDA graph": self.graph,
            "tuned": self.tuned,
        }
        return ", ".join([f"{self.precision}, batch {self.batch}", *(way for way, used in ways.items() if used)])


def variants(sizes: Sizes, *, on_gpu: bool) -> list[Variant]:
    """Return the ways that a visit compares; the last is the one that `tsn train` takes by default."""
    bf16 = Variant(precision="bf16", batch=sizes.batch)
    plain = [*(replace(bf16, precision=p) for p in ("fp32 throughout", "fp32")), replace(bf16, channels_last=False)]
    if not on_gpu:
        return [*plain, bf16]
    more = [replace(bf16, precision="tf32"), bf16, replace(bf16, tuned=True), replace(bf16, graph=True)]
    return [*plain, *more, *(replace(bf16, batch=batch, compiled=True) for batch in reversed(sizes.batches))]


class TrainStep:
    """A network, its optimiser and a batch of noise; calling it takes a step."""

    def __init__(self, variant: Variant, sizes: Sizes, device: torch.device) -> None:
        free(device)
        self._variant, self._device = variant, device
        torch.set_float32_matmul_precision("high" if variant.precision == "tf32" else "highest")
        torch.backends.cudnn.benchmark = variant.tuned
        torch.backends.cudnn.allow_tf32 = variant.precision != "fp32 throughout"  # torch's default, and tsn train's
        torch.manual_seed(0)
        layout = torch.channels_last if variant.channels_last else torch.contiguous_format
        model = build_model(sizes.model, num_classes=CLASSES, dropout=0.9).to(device).to(memory_format=layout)
        self._optimizer = build_optimizer(model, TrainSettings(model=sizes.model))
        self._network: nn.Module = torch.compile(model) if variant.compiled else model  # type: ignore[assignment]
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
