"""How much memory a step takes: an estimate before the first, and the peak after the last."""

import copy
import resource
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tsn.tsn_shared.errors import SettingsError, brief

GIB = 2**30
LOADED = 4
"""Batches of clips that are there at once: the one at hand, and those that the loader has ready."""

MOMENTS = {"sgd": 1, "adamw": 2}
"""Numbers that an optimiser keeps of each weight."""

WORKSPACE = 0.8 * GIB
"""What torch, DALI and the kernels' scratch take besides, as measured on the CPU and usual on a GPU."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Bytes of a process: `fixed` (weights, gradients, moments, workspace) and `clip`, what each of the batch adds."""

    fixed: float
    clip: float

    def total(self, batch_size: int) -> float:
        """Return the bytes of a step of this many clips."""
        return self.fixed + self.clip * batch_size


def estimate(
    model: nn.Module, *, frames: int, input_size: int, half: bool, saves: bool = False, moments: int = 1
) -> Estimate:
    """Estimate what training takes, from the tensors that a forward pass of one clip saves for its backward pass.

    A clip has so many `frames`. The pass runs on torch's meta device: it knows shapes and computes nothing. With `half`
    activations take 2 bytes; with `saves` a checkpoint on its way to the disk, a copy of weights and moments, is on
    the same device. The optimiser keeps so many `moments` of each weight that is trained; of frozen ones there are
    neither gradients nor moments.
    """
    shapes = _shapes(model).train()
    weights = sum(parameter.numel() * parameter.element_size() for parameter in shapes.parameters())
    trained = sum(p.numel() * p.element_size() for p in shapes.parameters() if p.requires_grad)
    counted = {_storage(parameter) for parameter in shapes.parameters()}
    saved: list[Tensor] = []  # held, so that no other tensor takes the place of one

    def note(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in counted:
            counted.add(_storage(tensor))
            saved.append(tensor)
        return tensor

    clips = torch.empty(2, frames, 3, input_size, input_size, device="meta")  # batch statistics want more than one
    outputs = _noted_outputs(shapes)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        _pass(shapes, clips)
    sizes = [tensor.numel() * tensor.element_size() / len(clips) / (2 if half else 1) for tensor in saved]
    # the gradients of a layer's input and output are there at once; of a frozen one the input and output themselves
    frozen = [max(outputs) * (2 if half else 4) / len(clips)] if trained < weights else []
    passing = 2 * max(sizes + frozen)
    served = LOADED * clips.numel() * clips.element_size() / len(clips)
    # weights, their gradients and the optimiser's moments; autocast has the weights in 2 bytes as well; a checkpoint on
    # its way to the disk is a second copy of weights and moments
    state = weights + trained * moments
    fixed = state + trained + (weights / 2 if half else 0) + (state if saves else 0)
    return Estimate(fixed=fixed + WORKSPACE, clip=sum(sizes) + passing + served)


def estimate_scoring(
    model: nn.Module, *, frames: int, crops: int, at_once: int, input_size: int, half: bool, answers: float = 0.0
) -> Estimate:
    """Estimate what scoring takes, where each crop goes through the network as a clip of its own, `at_once` of them.

    The largest output of a layer is there twice at once: what is read and what is written. `answers` are the numbers
    that the pass gathers.
    """
    shapes = _shapes(model).eval()
    weights = sum(value.numel() * value.element_size() for value in shapes.state_dict().values())
    outputs = _noted_outputs(shapes)
    crop = torch.empty(1, frames, 3, input_size, input_size, device="meta")
    with torch.no_grad():
        _pass(shapes, crop)
    passing = 2 * max([*outputs, crop.numel()]) * (2 if half else 4)
    pixels = crop.numel() * crop.element_size()
    served = LOADED * crops * pixels
    apart = max(at_once, crops) * pixels if crops > 1 else 0  # a clip's crops, each in one piece
    fixed = weights * (1.5 if half else 1) + at_once * passing + apart + 8 * answers + WORKSPACE
    return Estimate(fixed=fixed, clip=float(served))


def fitting(needs: Estimate, *, batch_size: int, free: float, where: str) -> int:
    """Return as many of `batch_size` clips as fit into memory at once; SettingsError where not one does.

    If not all of them fit, half of the memory is left free: filling it makes nothing faster.
    """
    fits = int(max(free - needs.fixed, 0) // needs.clip)
    if fits < 1:
        raise SettingsError(
            f"to score a clip needs about {needs.total(1) / GIB:.1f} GiB a process, {free / GIB:.1f} GiB are free on "
            f"{where}: use fewer --num-segments, another --protocol, or a smaller network or input"
        )
    return batch_size if batch_size <= fits else max(fits // 2, 1)


def available(device: torch.device, *, processes: int) -> float:
    """Return the bytes that a process can hold on its device in all; the CPU's are shared by its `processes`."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device))
    words = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = int(words["MemAvailable"].split()[0]) * 1024
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return min(free, _left_of_cgroup()) / processes + pages * resource.getpagesize()


def check_memory(needs: Estimate, *, batch_size: int, free: float, where: str) -> str:
    """Return a line with the estimate; SettingsError if it is more than there is, with the batch that would fit."""
    total = needs.total(batch_size)
    if total > free:
        fits = int((free - needs.fixed) // needs.clip)
        way = (
            f"use --batch-size {fits}, and --accumulate N for the same global batch"
            if fits > 0
            else "use a smaller --model or --input-size"
        )
        raise SettingsError(
            f"--batch-size {batch_size} needs about {total / GIB:.1f} GiB a process, {free / GIB:.1f} GiB are free on "
            f"{where}: {way}"
        )
    return f"memory: about {total / GIB:.1f} GiB a process, {free / GIB:.1f} GiB are free on {where}"


def peak(device: torch.device) -> float:
    """Return the most bytes that this process has held: on its GPU, or in memory."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    # getrusage would tell the peak of the process that started this one, where that was higher
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024.0


def _left_of_cgroup() -> float:
    """Return what a container's limit leaves, infinity without one."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        cached = next(
            int(line.split()[1])
            for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines()
            if line.startswith("inactive_file ")
        )
    except (OSError, StopIteration):
        return float("inf")
    return float("inf") if limit == "max" else int(limit) - int(used) + cached


def _shapes(model: nn.Module) -> nn.Module:
    """Return a copy of a network that has shapes and no numbers."""
    on_meta: nn.Module = copy.deepcopy(model).to("meta")
    return on_meta


def _noted_outputs(shapes: nn.Module) -> list[int]:
    """Return a list that takes, while a network passes, the numbers that each of its modules gives."""
    outputs: list[int] = []

    def note(module: nn.Module, args: object, output: object) -> None:
        if isinstance(output, Tensor):
            outputs.append(output.numel())

    for module in shapes.modules():
        module.register_forward_hook(note)
    return outputs


def _pass(shapes: nn.Module, clips: Tensor) -> None:
    try:
        shapes(clips)
    # of layers that leave nothing of so few pixels, and of networks that were built for other sizes
    except (RuntimeError, AssertionError, ValueError) as error:
        raise SettingsError(f"--input-size {clips.shape[-1]} does not fit this network: {brief(error)}") from None


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
