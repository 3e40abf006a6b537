"""What the settings mean on a device: how many GPUs, which precision, whether to compile, how weights lie in memory."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from tsn.train.ranks.group import on_one_gpu
from tsn.tsn_shared.console import say
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import TrainSettings


def count_gpus(asked: str) -> int:
    """Return how many GPUs to use, 0 for the CPU."""
    visible = torch.cuda.device_count()
    if asked == "auto":
        if visible == 0:
            say("0 GPUs are visible: using the CPU")
        return visible
    if not asked.isdecimal():
        raise SettingsError(f"--gpus {asked}: it takes a number of GPUs, or auto")
    if int(asked) > visible and not (visible and on_one_gpu()):
        raise SettingsError(
            f"--gpus {asked}: {visible} GPUs are visible to torch: use --gpus {visible}"
            f"{' (the CPU)' if visible == 0 else ''}, or look at nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    return int(asked)


def precision_of(settings: TrainSettings, device: torch.device) -> str:
    """Return the precision that the settings ask for: where they do not say, bf16 on a GPU and fp32 on the CPU."""
    return settings.precision or ("bf16" if device.type == "cuda" else "fp32")


def clips_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of the clips that training takes at this precision: what autocast on a GPU makes of them anyway.

    float16 takes half the memory; on the CPU the loader makes float32.
    """
    return torch.float16 if device.type == "cuda" and precision != "fp32" else torch.float32


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a network runs at this precision (fp32, bf16 or fp16)."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def compiles(settings: TrainSettings, device: torch.device) -> bool:
    """Return whether the network goes through torch.compile: on a GPU, unless the settings say otherwise."""
    return device.type == "cuda" if settings.compile is None else settings.compile


def channels_last(model: nn.Module) -> nn.Module:
    """Lay the convolutions' weights out as the loader lays out its clips."""
    moved: nn.Module = model.to(memory_format=torch.channels_last)
    return moved
