"""Passes of a network over the clips of a split, each clip once, on one device or many ranks."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import tsn.train.loaders as data
from tsn.pipeline.loading.reader import FrameReader
from tsn.train.answers.trained import TrainedNetwork, check_split, load_trained, settings_for
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
class ScoringPass:
    """What is scored: the checkpoint, the subset of a split, the protocol, and whether it gives logits or features.

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
        """The protocol in words: its name, segments, crops."""
        return VIEWS[self.protocol].described(self.segments)


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredClips:
    """The outcome of a pass: values (N, C), logits or features, labels (N,) and names of the clips, in split order."""

    values: Tensor
    labels: Tensor
    names: tuple[str, ...]


def plan_pass(
    subset: Subset | None, trained: TrainedNetwork, settings: SplitScoreSettings, *, features: bool = False
) -> ScoringPass:
    """Return the pass that the settings ask for; what they leave open is the checkpoint's: data, split and segments.

    Without a subset it is the one that the split has for scoring: test, or val where there is no test.
    SettingsError for another split than its own unless `settings.other_split`.
    """
    protocol, segments = protocol_and_segments(trained, settings)
    data = settings_for(
        trained,
        frames=settings.frames,
        splits=settings.splits,
        split=settings.split,
        other_split=settings.other_split,
    )
    return ScoringPass(
        checkpoint=trained.path,
        data=data,
        subset=subset or open_split(data).scored,
        protocol=protocol,
        segments=segments,
        other_split=settings.other_split,
        features=features,
    )


def protocol_and_segments(trained: TrainedNetwork, settings: ScoreSettings) -> tuple[str, int]:
    """Return the protocol, and how many segments a clip is scored by: those stated, the protocol's, or the run's."""
    protocol, usual = settings.protocol, VIEWS[settings.protocol].segments
    return protocol, trained.segments(settings.num_segments, usual=usual)


def run_pass(wanted: ScoringPass, trained: TrainedNetwork, settings: SplitScoreSettings) -> ScoredClips:
    """Run a pass, every clip once, on the devices that the settings ask for; `trained` is the checkpoint, loaded.

    DataError where the network's answer for a clip is not finite.
    """
    refuse_launched("--gpus N or --num-processes N")
    count = count_gpus(settings.gpus)
    on_gpu, processes = count > 0, count or settings.num_processes
    split = open_split(wanted.data)
    split.clips_of(wanted.subset)  # refuses a subset without clips
    if processes == 1:
        values, labels = _score_as_rank(wanted, on_gpu, trained)
    else:
        check_split(trained, split, other_split=wanted.other_split)  # before any process starts
        values, labels = run_processes(_score_as_rank, wanted, on_gpu, processes=processes)
    names = split.names(wanted.subset, slice(None))
    not_finite = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(not_finite):
        raise DataError(
            f"{trained.path} gives no numbers for {len(not_finite)} of {counted(len(names), 'clip')}, the first is "
            f"{printable(names[not_finite[0]])}: its weights are too large, take another checkpoint"
        )
    return ScoredClips(values=torch.from_numpy(values), labels=torch.from_numpy(labels), names=names)


def refuse_launched(instead: str) -> None:
    """Refuse to be one of many processes that a launcher started; SettingsError says what to use `instead`."""
    if environment.launched() is not None:
        raise SettingsError(f"torchrun's variables are set: start one process, and say {instead}")


def _score_as_rank(
    wanted: ScoringPass, on_gpu: bool, trained: TrainedNetwork | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Run this rank's part of a pass; every rank returns the values (N, C) and labels (N,) of all clips."""
    trained = trained or load_trained(wanted.checkpoint)
    settings = trained.settings
    split = open_split(wanted.data)
    check_split(trained, split, other_split=wanted.other_split)
    view = VIEWS[wanted.protocol]
    clips, snippets = len(split.subset(wanted.subset)), replace(settings.snippets, segments=wanted.segments)
    shapes = shapes_of(settings, len(trained.classes))
    network = without_last_layer(trained.network, settings.model) if wanted.features else trained.network
    with joined(on_gpu=on_gpu) as ranks, ExitStack() as stack:
        precision = precision_of(settings, ranks.device)
        needs = estimate_scoring(
            shapes,
            frames=snippets.frames,
            crops=view.crops,
            at_once=clips_at_once(snippets.frames, ranks.device),
            input_size=settings.input_pixels,
            half=precision != "fp32",
            answers=clips * len(trained.classes),
        )
        free = available(ranks.device, processes=ranks.local_world_size)
        # as many frames and crops in a batch
        as_in_training = settings.batch_size * settings.snippets.frames // (snippets.frames * view.crops)
        share = -(-clips // ranks.world_size)  # of this rank: what a batch has beyond it is padding
        fit = partial(fitting, needs, batch_size=max(1, min(as_in_training, share)), free=free, where=str(ranks.device))
        reader = FrameReader(split, wanted.subset, wanted.data.frames, view=view, snippets=snippets)
        batch_size = ranks.agree(fit)
        loader = data.open_val_loader(reader, settings, ranks, batch_size=batch_size)
        clips_of_rank = stack.enter_context(loader).one_pass()
        progress = Progress("scoring", total=clips_of_rank.steps, unit="step", visible=ranks.is_first)
        values, labels = score_clips(
            channels_last(network).to(ranks.device),
            clips_of_rank,
            ranks=ranks,
            precision=precision,
            progress=stack.enter_context(progress),
        )
    return values.numpy(), labels.numpy()  # not tensors: those travel between processes by a handle that dies with one
