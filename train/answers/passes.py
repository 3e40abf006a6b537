"""A pass of a network over clips under one of them, on one device or many ranks."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import tsn.train.loaders as data
from tsn.pipeline.loading.reader import FrameReader
from tsn.train.answers.trained import Trained, check_split, load_trained, settings_for
from tsn.train.network.memory import available, estimate_scoring, fitting
from tsn.train.network.model import shapes_of, without_last_layer
from tsn.train.ranks.devices import channels_last, count_gpus, precision_of
from tsn.train.ranks.group import joined
from tsn.train.ranks.processes import run_processes
from tsn.train.scores import clips_at_once, score_clips
from tsn.tsn_shared import environment
from tsn.tsn_shared.console import Progress, counted, printable
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import DataSettings, ScoreSettings, SplitScoreSettings
from tsn.tsn_shared.splits import Subset, open_split
from tsn.tsn_shared.views import VIEWS


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One pass: the checkpoint, the subset of a split, the protocol, and whether it gives logits or features.

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
        return f"{self.protocol} ({self.segments} segments, {VIEWS[self.protocol].words})"


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """The outcome of a pass: values (N, C), logits or features, labels (N,) and names of the clips, in split order."""

    values: Tensor
    labels: Tensor
    names: tuple[str, ...]


def pass_over(subset: Subset, trained: Trained, settings: SplitScoreSettings, *, features: bool = False) -> Pass:
    """Return the pass that the settings ask for; what they leave open is the checkpoint's: data, split and segments.

    SettingsError for another split than its own unless `settings.other_split`.
    """
    protocol, segments = how_to_score(trained, settings)
    return Pass(
        checkpoint=trained.path,
        data=settings_for(
            trained,
            frames=settings.frames,
            splits=settings.splits,
            split=settings.split,
            other_split=settings.other_split,
        ),
        subset=subset,
        protocol=protocol,
        segments=segments,
        other_split=settings.other_split,
        features=features,
    )


def how_to_score(trained: Trained, settings: ScoreSettings) -> tuple[str, int]:
    """Return the protocol, and how many segments a clip is scored by: those stated, the protocol's, or the run's."""
    protocol = settings.protocol
    return protocol, settings.num_segments or VIEWS[protocol].segments or trained.settings.segments


def score(wanted: Pass, trained: Trained, settings: ScoreSettings) -> Scored:
    """Run a pass, every clip once, on the devices that the settings ask for; `trained` is the checkpoint, loaded.

    DataError where the network's answer for a clip is not finite.
    """
    if environment.launched() is not None:
        raise SettingsError("torchrun's variables are set: start one process, and say --gpus N or --num-processes N")
    count = count_gpus(settings.gpus)
    on_gpu, processes = count > 0, count or settings.num_processes
    split = open_split(wanted.data)
    if not len(split.subset(wanted.subset)):
        raise SettingsError(f"{split.path} has no {wanted.subset} clips")
    if processes == 1:
        values, labels = _score_as_rank(wanted, on_gpu, trained)
    else:
        check_split(trained, split, other_split=wanted.other_split)  # before any process starts
        values, labels = run_processes(_score_as_rank, wanted, on_gpu, processes=processes)
    names = split.names(wanted.subset, slice(None))
    silent = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(silent):
        raise DataError(
            f"{trained.path} gives no numbers for {len(silent)} of {counted(len(names), 'clip')}, the first is "
            f"{printable(names[silent[0]])}: its weights are too large, take another checkpoint"
        )
    return Scored(values=torch.from_numpy(values), labels=torch.from_numpy(labels), names=names)


def _score_as_rank(
    wanted: Pass, on_gpu: bool, trained: Trained | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Run this rank's part of a pass; every rank returns the values (N, C) and labels (N,) of all clips."""
    trained = trained or load_trained(wanted.checkpoint)
    settings = trained.settings
    split = open_split(wanted.data)
    check_split(trained, split, other_split=wanted.other_split)
    view = VIEWS[wanted.protocol]
    clips, crops = len(split.subset(wanted.subset)), view.crops
    shapes = shapes_of(settings, len(trained.classes))
    network = without_last_layer(trained.network, settings.model) if wanted.features else trained.network
    a_load = settings.batch_size * settings.segments  # frames and crops at once: as many as in training
    with joined(on_gpu=on_gpu) as ranks:
        precision = precision_of(settings, ranks.device)
        needs = estimate_scoring(
            shapes,
            segments=wanted.segments,
            crops=crops,
            at_once=clips_at_once(wanted.segments, ranks.device),
            input_size=settings.input_size,
            half=precision != "fp32",
            answers=clips * len(trained.classes),
        )
        free = available(ranks.device, processes=ranks.local_world_size)
        asked = max(
            1, min(a_load // (wanted.segments * crops), -(-clips // ranks.world_size))
        )  # what goes beyond the clips is padding
        most = ranks.agree(partial(fitting, needs, batch_size=asked, free=free, where=str(ranks.device)))
        reader = FrameReader(split, wanted.subset, wanted.data.frames, view=view, segments=wanted.segments)
        with ExitStack() as stack:
            loader = data.open_val_loader(reader, ranks, batch_size=most, input_size=settings.input_size)
            one_pass = stack.enter_context(loader).one_pass()
            total, first = one_pass.steps, ranks.is_first
            progress = stack.enter_context(Progress("scoring", total=total, unit="step", visible=first))
            values, labels = score_clips(
                channels_last(network).to(ranks.device),
                one_pass,
                ranks=ranks,
                precision=precision,
                progress=progress,
            )
    return values.numpy(), labels.numpy()  # not tensors: those travel between processes by a handle that dies with one
