"""The one place where training opens the loader."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch

from tsn.pipeline.loading import decoders as decoding
from tsn.pipeline.loading.loader import ClipLoader, EvalLoader, sample_batches, train_clips
from tsn.pipeline.loading.pixels import Decoder, Pixels, cpu_share
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import EvalSchedule
from tsn.train.ranks.devices import clips_dtype, precision_of
from tsn.train.ranks.group import Ranks
from tsn.train.versions import versions
from tsn.tsn_shared.draws import permutation
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.hdf5 import read_seal
from tsn.tsn_shared.settings import MOST_CLASSES, DataSettings, TrainSettings
from tsn.tsn_shared.shards import read_tables
from tsn.tsn_shared.splits import KIND, Split


def split_facts(split: Split) -> dict[str, Any]:
    """Return what tells a split from another: where it is, its sealed SHA-256, and how many clips it has."""
    facts = {"path": str(split.path), "sha256": read_seal(split.path, KIND).sha256}
    return facts | {"train": len(split.train), "test": len(split.test)}


def check_classes(split: Split, settings: TrainSettings) -> tuple[str, ...]:
    """Return the names of the network's classes: the split's, with numbers for classes beyond them."""
    asked = settings.num_classes
    if len(split.classes) > MOST_CLASSES:
        raise SettingsError(f"{split.path} has {len(split.classes)} classes: {MOST_CLASSES} are the most")
    if asked is None or asked == len(split.classes):
        return split.classes
    if asked < len(split.classes):
        raise SettingsError(f"--num-classes {asked}: {split.path} has {len(split.classes)} classes")
    return (*split.classes, *(f"class{number}" for number in range(len(split.classes), asked)))


def config(settings: TrainSettings, split: Split, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return what config.json holds."""
    return {
        "settings": settings.plain(),
        "split": split_facts(split),
        "classes": list(classes),
        "versions": versions(),
    }


def clip_names(split: Split, seed: int, places: list[int]) -> list[str]:
    """Return the names of the clips at these places of the training stream."""
    size = len(split.train)
    rows = [permutation(seed=seed, epoch=place // size, size=size)[place % size] for place in places]
    return [split.names("train", slice(row, row + 1))[0] for row in rows]


def frames_facts(split: Split, data: DataSettings) -> dict[str, Any]:
    """Return how a split's frames were made: `size`, WIDTHxHEIGHT of all or native, and their `quality` if known."""
    size, quality = "native", None
    if split.shard_names and (data.frames / split.shard_names[0]).exists():  # its absence is the loader's to refuse
        tables = read_tables(data.frames / split.shard_names[0])
        quality = tables.settings.get("quality")
        sizes = set(zip(tables.width.tolist(), tables.height.tolist(), strict=True))
        if tables.settings.get("size") != "native" and len(sizes) == 1:
            size = "{}x{}".format(*sizes.pop())
    return {"size": size, "quality": quality}


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
        input_size=settings.input_size,
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


def open_val_loader(clips: FrameReader, ranks: Ranks, *, batch_size: int, input_size: int) -> EvalLoader:
    """Open this rank's part of clips that are scored in order.

    The CPU decodes, whatever training does: a score does not depend on a card's rounding.
    """
    schedule = EvalSchedule(num_clips=len(clips), batch_size=batch_size, rank=ranks.rank, world_size=ranks.world_size)
    return EvalLoader(clips, schedule, Pixels(input_size=input_size, device=ranks.device))
