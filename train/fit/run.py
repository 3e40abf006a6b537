"""What a run is made of on one rank: its folder, held; data and network, new or resumed; loaders; checkpoints."""

import math
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import tsn.train.loaders as data
from tsn.pipeline.loading.loader import ClipLoader, EvalLoader
from tsn.pipeline.loading.reader import FrameReader
from tsn.train.data import StoredFrames, class_names, clip_names, how_best_is_chosen, split_facts, stored_frames
from tsn.train.fit import compilation
from tsn.train.fit.checkpoint import load_newest, restore_best
from tsn.train.fit.checkpoint_writer import CheckpointWriter
from tsn.train.fit.contents import Checkpoint, Facts, checkpoint_of
from tsn.train.fit.folder import Config, RunFolder, read_config, read_history, what_changed
from tsn.train.fit.place import RunPlace
from tsn.train.fit.trainer import Trainer
from tsn.train.history import Row, best_row
from tsn.train.network.memory import MOMENTS, available, check_memory, estimate
from tsn.train.network.model import TSN, build_network, count_parameters, shapes_of
from tsn.train.network.weights import fill, read_weights
from tsn.train.ranks.devices import channels_last, compiles, precision_of
from tsn.train.ranks.group import Ranks
from tsn.train.ranks.stop import StopRequest
from tsn.train.versions import versions
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.files import locked, working_folder, writing
from tsn.tsn_shared.settings import TrainSettings
from tsn.tsn_shared.splits import Split, open_split
from tsn.tsn_shared.views import VIEWS


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaders:
    """The endless stream of a run's training clips, and the clips that it validates on, if there are any."""

    train: ClipLoader
    val: EvalLoader | None


@dataclass(kw_only=True, eq=False)
class Run:
    """A run on one rank; `decoder_before` is what decoded the frames before it was resumed, auto where nothing did."""

    settings: TrainSettings
    folder: RunFolder
    ranks: Ranks
    split: Split
    classes: tuple[str, ...]
    frames: StoredFrames
    train_sha256: str
    trainer: Trainer
    history: list[Row]
    decoder_before: str = "auto"

    @property
    def facts(self) -> Facts:
        """What its checkpoints say of themselves."""
        return Facts(
            settings=self.settings,
            classes=self.classes,
            frames=self.frames,
            train_sha256=self.train_sha256,
            history=tuple(self.history),
            base=working_folder(),
        )

    def computed_by(self) -> dict[str, str]:
        """Return the versions, and on the CPU the threads: sums over another number differ in their last bits."""
        on_cpu = self.ranks.device.type == "cpu"
        return versions() | ({"threads": str(torch.get_num_threads())} if on_cpu else {})

    def announce(self) -> None:
        """Write config.json, and say what is trained on what."""
        settings, trainer, say = self.settings, self.trainer, self.folder.say
        facts, base = split_facts(self.split), working_folder()
        config = Config(settings=settings, split=facts, base=base, classes=self.classes, versions=self.computed_by())
        if trainer.position and self.folder.writes:
            for words in what_changed(read_config(self.folder.path), config):
                say(words)
        self.folder.write_config(config)
        where = "CPU" if self.ranks.device.type == "cpu" else torch.cuda.get_device_name(self.ranks.device)
        trained = count_parameters(trainer.model, trained=True)
        frozen = "" if settings.freeze != "backbone" else f", {trained:,} of them trained"
        say(
            f"{settings.model} ({count_parameters(trainer.model) / 1e6:.1f} M parameters{frozen}), "
            f"{len(self.classes)} classes, {settings.segments} segments at {settings.input_pixels} pixels, "
            f"{trainer.precision}, {self.ranks.world_size} x {where}, {trainer.clips_per_step} clips a step"
        )
        if beyond := len(self.classes) - len(self.split.classes):
            say(f"--num-classes {len(self.classes)}: {beyond} more than {self.split.path} has, no clip is of them")
        validating = len(self.split.subset(self.split.choosing))
        say(f"{self.split.path}: {len(self.split.train)} clips to train on, {validating} to validate on")
        say(how_best_is_chosen(self.split))
        if trainer.position:
            say(f"going on at step {trainer.step}, epoch {trainer.epoch}")

    def validated(self, row: Row, loaders: Loaders) -> Row:
        """Return an epoch's row with the figures of validation.

        As it is without clips to validate on, and, with a warning, where the network's answers are not numbers.
        """
        if loaders.val is None:
            return row
        metrics = self.trainer.validate(loaders.val.one_pass())
        if not math.isfinite(metrics.loss):
            self.folder.say("warning: the network's answers in validation were not all numbers: no validation")
            return row
        return replace(
            row,
            val_loss=metrics.loss,
            val_top1=metrics.top1,
            val_top5=metrics.top5,
            val_mean_class_accuracy=metrics.mean_class_accuracy,
        )

    def save(self, saver: CheckpointWriter, *, best: bool) -> None:
        """Save the run as it stands, from the first rank."""
        if self.ranks.is_first:
            saver.save(Checkpoint(facts=self.facts, state=self.trainer.state()).plain(), best=best)

    def resume(self, path: Path, found: Any) -> None:
        """Go on from a checkpoint, with the files as they are after its epoch, wherever the run was killed."""
        own, num_clips = self.trainer.state(), len(self.split.train)
        checkpoint = checkpoint_of(found, path, own=own, facts=self.facts, num_clips=num_clips)
        self.trainer.load_state(checkpoint.state)
        self.history, self.decoder_before = list(checkpoint.facts.history), checkpoint.facts.settings.decoder
        if self.folder.writes:
            at_end = bool(self.history) and not checkpoint.state.tally.clips
            self.folder.write_history(self.history)
            best = at_end and best_row(self.history) is self.history[-1]
            restore_best(self.folder.checkpoints, path, is_best=best)


def open_run(place: RunPlace, folder: RunFolder, ranks: Ranks, stop: StopRequest) -> Run:
    """Open the split and build the network, or resume it from the newest checkpoint.

    SettingsError where the memory is too small for the batch, DataError for checkpoints that are lost or damaged.
    """
    settings, split = place.settings, open_split(place.settings)
    classes, precision = class_names(split, settings), precision_of(settings, ranks.device)
    shapes = shapes_of(settings, len(classes))
    folder.say(ranks.agree(lambda: _check_memory(shapes, settings, ranks, precision=precision)))
    if compiles(settings, ranks.device):
        compilation.begin()
    newest = load_newest(folder.checkpoints, folder.say) if place.resume else None
    if place.resume and newest is None:
        _begin_again(folder)
    run = Run(
        settings=settings,
        folder=folder,
        ranks=ranks,
        split=split,
        classes=classes,
        frames=stored_frames(split, settings),
        train_sha256=split.train_sha256(),
        trainer=Trainer(
            model=_build(settings, len(classes), folder, ranks, new=newest is None),
            settings=settings,
            ranks=ranks,
            num_clips=len(split.train),
            precision=precision,
            stop=stop,
            name_clips=lambda positions: clip_names(split, settings, positions),
        ),
        history=[],
    )
    if newest is not None:
        run.resume(*newest)
    _check_same_start(run)
    return run


def open_loaders(run: Run, stack: ExitStack) -> Loaders:
    """Open the loaders and compile the network: what reads and decodes goes on in threads while that is compiled.

    A decoder that is still to be chosen comes after compiling, since it depends on how fast the network is then. The
    stack closes the loaders.
    """
    split, ranks, settings, say = run.split, run.ranks, run.settings, run.folder.say
    val = None
    if len(split.subset(split.choosing)):
        clips = FrameReader(split, split.choosing, settings.frames, view=VIEWS["val"], snippets=settings.snippets)
        val = data.open_val_loader(clips, settings, ranks, batch_size=settings.batch_size)
        stack.enter_context(val)
    if words := run.trainer.compile():
        say(words)
    before, pace = run.decoder_before, run.trainer.pace
    decoder, words = ranks.agree(lambda: data.choose_decoder(split, settings, ranks, before=before, pace=pace))
    if words:
        say(words)
    run.settings = replace(settings, decoder=decoder)
    train = data.open_train_loader(split, run.settings, ranks, position=run.trainer.position)
    stack.enter_context(train)
    return Loaders(train=train, val=val)


@contextmanager
def open_folder(path: Path, *, writes: bool) -> Iterator[RunFolder]:
    """Hold a run's folder, so that no other training writes in it; ranks that write nothing need not.

    SettingsError where another training holds it. One that was empty is removed again if the run fails to begin.
    """
    with ExitStack() as stack:
        if writes:
            busy = f"{path} is in use by another training: wait for it, or set another --run"
            with writing(path, "set another --run"):
                new = not path.exists() or not any(path.iterdir())
                stack.enter_context(locked(path, busy, "checkpoints"))
            if new:
                stack.enter_context(_removed_if_unused(path))
        yield RunFolder(path, writes=writes)


@contextmanager
def _removed_if_unused(folder: Path) -> Iterator[None]:
    """Remove a run folder again, which was empty and is held, if the run fails before it begins.

    Where that fails nothing is said: the error that ends the run matters more. A link to a folder stays, and leads to
    an empty one.
    """
    try:
        yield
    except BaseException:
        with suppress(OSError):
            if not (folder / "config.json").exists():
                shutil.rmtree(folder.resolve())
                if folder.is_symlink():
                    folder.resolve().mkdir()
        raise


def _check_memory(shapes: TSN, settings: TrainSettings, ranks: Ranks, *, precision: str) -> str:
    """Return a line about memory; SettingsError where it is too small for the batch."""
    half = precision != "fp32"
    sizes = {"frames": settings.snippets.frames, "input_size": settings.input_pixels}
    needs = estimate(shapes, **sizes, half=half, saves=ranks.is_first, moments=MOMENTS[settings.optimizer])
    free = available(ranks.device, processes=ranks.local_world_size)
    return check_memory(needs, batch_size=settings.batch_size, free=free, where=str(ranks.device))


def _build(settings: TrainSettings, num_classes: int, folder: RunFolder, ranks: Ranks, *, new: bool) -> nn.Module:
    """Build the network on this rank's device; a new run's takes the weights that the settings name."""
    with ThreadPoolExecutor(1) as beside:  # only the first rank reads weights: DDP broadcasts them as it begins
        wanted = settings.weights if new and ranks.is_first else "none"
        weights = beside.submit(read_weights, settings.model, wanted)
        torch.manual_seed(settings.seed)
        model = build_network(settings, num_classes)
        if new:
            folder.say(ranks.agree(lambda: fill(model, settings.model, weights.result(), settings.weights)))
    return channels_last(model).to(ranks.device)


def _begin_again(folder: RunFolder) -> None:
    """Say that there is no checkpoint; DataError where there must have been one, as the history says."""
    epochs = len(read_history(folder.path))
    if epochs > 1:
        raise DataError(
            f"{folder.checkpoints} holds no checkpoint, though {epochs} epochs are in metrics.jsonl: put them "
            "back, or set another --run"
        )
    folder.say(f"{folder.path} has no checkpoint yet: it begins at the beginning")


def _check_same_start(run: Run) -> None:
    """Refuse ranks that found different checkpoints: their run folders are not one."""
    position = run.trainer.position
    there = run.ranks.max(torch.tensor([position, -position], device=run.ranks.device)).tolist()
    if there != [position, -position]:
        raise DataError(f"{run.folder.path}: the ranks see different checkpoints: all must share the folder of --run")
