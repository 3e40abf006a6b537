"""The one place where training opens the loader."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch

from tsn.pipeline.loading import decoders as decoding
from tsn.pipeline.loading.loader import ClipLoader, EvalLoader, sample_batches, train_clips
from tsn.pipeline.loading.pixels import Decoder, Pixels, cpu_share
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import EvalSchedule
from tsn.train.ranks.devices import clips_dtype, precision_of
from tsn.train.ranks.group import Ranks
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import TrainSettings
from tsn.tsn_shared.splits import Split


def open_train_loader(split: Split, settings: TrainSettings, ranks: Ranks, *, position: int) -> ClipLoader:
    """Open the endless training stream of this rank, `position` clips in, counted over all ranks.

    A GPU that trains in bf16 or fp16 gets float16 clips: what autocast makes of them, at half the memory. Where the
    settings leave the decoder open it is the CPU: `choose_decoder` comes first.
    """
    return train_clips(
        split,
        settings.frames,
        settings,
        train_pixels(settings, ranks),
        rank=ranks.rank,
        world_size=ranks.world_size,
        start=position,
    )


def train_pixels(settings: TrainSettings, ranks: Ranks) -> Pixels:
    """Return how this rank's training makes its clips."""
    return Pixels(
        input_size=settings.input_pixels,
        normalisation=settings.normalisation,
        device=ranks.device,
        half=clips_dtype(precision_of(settings, ranks.device), ranks.device) == torch.float16,
        decoder=decoder_of(settings),
        threads=settings.loader_threads or cpu_share(),
    )


def decoder_of(settings: TrainSettings) -> Decoder:
    """Return the decoder of the settings, the CPU where they leave it open."""
    return "cpu" if settings.decoder == "auto" else cast("Decoder", settings.decoder)


def choose_decoder(
    split: Split, settings: TrainSettings, ranks: Ranks, *, before: str, pace: Callable[[], float]
) -> tuple[str, str]:
    """Return the decoder that this rank trains with, and what there is to say of it.

    The one that the settings state, on a GPU only; else the one that the run had `before`, if any; else what measuring
    finds: `pace()` is the clips a second that training takes. SettingsError where there is no GPU for it.
    """
    words = ""
    if ranks.device.type == "cpu":
        if settings.decoder not in ("auto", "cpu", before):
            raise SettingsError(f"--decoder {settings.decoder} needs a GPU: leave it out")
        decoder: Decoder = "cpu"
    elif settings.decoder != "auto":
        decoder = decoder_of(settings)
    else:
        decoder, words = decoding.choose_decoder(_serving(split, settings, ranks), pace=pace())
    if before not in ("auto", decoder):
        words = f"frames are decoded by {decoder}, before it was {before}: pixels differ by up to 5 of 255 from here on"
    return decoder, words


def _serving(split: Split, settings: TrainSettings, ranks: Ranks) -> Callable[[Decoder], float]:
    """Return what measures the clips a second that this rank's loader serves by a decoder, at most."""
    batches = sample_batches(split, settings.frames, settings, count=4)
    pixels = train_pixels(settings, ranks)
    return lambda decoder: decoding.serving_rate(batches, replace(pixels, decoder=decoder))


def open_val_loader(clips: FrameReader, settings: TrainSettings, ranks: Ranks, *, batch_size: int) -> EvalLoader:
    """Open this rank's part of clips that are scored in order, by a network of these settings.

    The CPU decodes, whatever training does: a score does not depend on a card's rounding.
    """
    schedule = EvalSchedule(num_clips=len(clips), batch_size=batch_size, rank=ranks.rank, world_size=ranks.world_size)
    size, normalisation = settings.input_pixels, settings.normalisation
    return EvalLoader(clips, schedule, Pixels(input_size=size, normalisation=normalisation, device=ranks.device))
