"""The protocols, and a pass of a network over clips under one of them, on one device or many ranks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import train.data as data
from pipeline.reader import View
from train.evaluation import precision_of, score_clips
from train.launch import count_gpus
from train.model import channels_last, without_last_layer
from train.processes import run_processes
from train.ranks import environment_ranks, joined
from train.trained import Trained, check_split, load_trained, settings_for
from tsn_shared.console import Progress
from tsn_shared.errors import SettingsError
from tsn_shared.settings import DataSettings
from tsn_shared.splits import Subset, open_split


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How clips are scored: `view` names the crops, `segments` is None where the checkpoint's own number holds."""

    view: View
    crops: int
    segments: int | None
    words: str


PROTOCOLS = {
    "val": Protocol(view="val", crops=1, segments=None, words="centre crop"),
    "3crop": Protocol(view="3crop", crops=3, segments=25, words="3 crops"),
    "10crop": Protocol(view="10crop", crops=10, segments=25, words="10 crops"),
}
"""val is what training computes after every epoch; TSN's papers report 10crop (Wang et al., ECCV 2016)."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one pass is: a checkpoint, the clips of a subset of a split, the protocol; logits, or with `features` those.

    Plain values only: it travels to the ranks.
    """

    checkpoint: Path
    data: DataSettings
    subset: Subset
    protocol: str
    segments: int
    other_split: bool
    features: bool = False

    @property
    def words(self) -> str:
        """The protocol in words: name, segments, crops."""
        return f"{self.protocol} ({self.segments} segments, {PROTOCOLS[self.protocol].words})"


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """The outcome of a pass: values (N, C), logits or features, labels (N,) and names of the clips, in split order."""

    values: Tensor
    labels: Tensor
    names: tuple[str, ...]


def pass_over(
    subset: Subset,
    trained: Trained,
    *,
    protocol: str = "val",
    num_segments: int | None = None,
    frames: Path | None = None,
    splits: Path | None = None,
    split: str | None = None,
    other_split: bool = False,
    features: bool = False,
) -> Pass:
    """Return the pass that a checkpoint asks for, less what is stated: its own data, split and segments.

    SettingsError for a protocol that does not exist, and for another split than its own unless `other_split`.
    """
    return Pass(
        checkpoint=trained.path,
        data=settings_for(trained, frames=frames, splits=splits, split=split, other_split=other_split),
        subset=subset,
        protocol=protocol,
        segments=choose_segments(trained, protocol, num_segments),
        other_split=other_split,
        features=features,
    )


def choose_segments(trained: Trained, protocol: str, num_segments: int | None) -> int:
    """Return how many segments a clip is scored by; SettingsError for a protocol that does not exist."""
    if protocol not in PROTOCOLS:
        raise SettingsError(f"--protocol {protocol}: it must be one of {', '.join(PROTOCOLS)}")
    return num_segments or PROTOCOLS[protocol].segments or trained.settings.segments


def score(wanted: Pass, *, trained: Trained, gpus: str = "auto", num_processes: int = 1) -> Scored:
    """Run a pass, every clip once, on the devices asked for; `trained` is the checkpoint, already loaded."""
    if environment_ranks() is not None:
        raise SettingsError("torchrun's variables are set: start one process, and say --gpus N or --num-processes N")
    count = count_gpus(gpus)
    on_gpu, processes = count > 0, count or num_processes
    split = open_split(wanted.data)
    if not len(split.subset(wanted.subset)):
        raise SettingsError(f"{split.path} has no {wanted.subset} clips")
    if processes == 1:
        values, labels = _score_as_rank(wanted, on_gpu, trained)
    else:
        check_split(trained, split, other_split=wanted.other_split)  # before any process starts
        values, labels = run_processes(_score_as_rank, wanted, on_gpu, processes=processes)
    names = split.names(wanted.subset, slice(None))
    return Scored(values=torch.from_numpy(values), labels=torch.from_numpy(labels), names=names)


def _score_as_rank(
    wanted: Pass, on_gpu: bool, trained: Trained | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Run this rank's part of a pass; every rank returns the values (N, C) and labels (N,) of all clips."""
    trained = trained or load_trained(wanted.checkpoint)
    settings, protocol = trained.settings, PROTOCOLS[wanted.protocol]
    split = open_split(wanted.data)
    check_split(trained, split, other_split=wanted.other_split)
    network = without_last_layer(trained.network, settings.model) if wanted.features else trained.network
    a_load = settings.batch_size * settings.segments  # frames and crops at once: as many as in training
    with joined(on_gpu=on_gpu) as ranks:
        loader, loads = data.open_val_loader(
            split,
            wanted.data,
            ranks,
            batch_size=max(1, a_load // (wanted.segments * protocol.crops)),
            segments=wanted.segments,
            input_size=settings.input_size,
            subset=wanted.subset,
            view=protocol.view,
        )
        with loader, Progress("scoring", total=loads, unit="batch", visible=ranks.is_first) as progress:
            values, labels = score_clips(
                channels_last(network).to(ranks.device),
                loader,
                loads=loads,
                clips=len(split.subset(wanted.subset)),
                ranks=ranks,
                precision=precision_of(settings, ranks.device),
                progress=progress,
            )
    return values.numpy(), labels.numpy()  # not tensors: those travel between processes by a handle that dies with one
