"""A training run as one rank sees it: open the data, build or resume the network, train, validate, write it down."""

import math
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

import tsn.train.loaders as data
from tsn.pipeline.loading.loader import ClipLoader, EvalLoader
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import check_batch
from tsn.train.answers.trained import metadata, row_of
from tsn.train.fit import compilation
from tsn.train.fit.beside import Beside
from tsn.train.fit.checkpoint import BEST, load_checkpoint, load_newest, mend
from tsn.train.fit.checkpoint_writer import CheckpointWriter
from tsn.train.fit.contents import Facts, facts_of, training_of, weights_of
from tsn.train.fit.folder import Row, RunFolder, best_row, read_history
from tsn.train.fit.reporters import epoch_line, verdict, write_scalars
from tsn.train.fit.trainer import Trainer
from tsn.train.network.memory import GIB, available, check_memory, estimate, peak
from tsn.train.network.model import TSN, build_model, count_parameters, shapes_of
from tsn.train.network.weights import fill, read_weights
from tsn.train.pictures import draw_curves
from tsn.train.ranks.devices import channels_last, compiles, precision_of
from tsn.train.ranks.group import Ranks
from tsn.train.ranks.stop import StopRequest, stop_requests
from tsn.train.scores import Scores
from tsn.tsn_shared.console import counted
from tsn.tsn_shared.errors import DataError, SettingsError, StoppedError
from tsn.tsn_shared.files import locked, replacing, writing
from tsn.tsn_shared.settings import TrainSettings
from tsn.tsn_shared.splits import open_split
from tsn.tsn_shared.views import VIEWS

WEIGHTS = "model.safetensors"

DRAW_EVERY = 30.0
"""Seconds between two drawings of the curves."""


class Run:
    """A run on one rank; `train()` goes from where it stands to the end."""

    def __init__(self, settings: TrainSettings, ranks: Ranks, *, resume: bool, stop: StopRequest) -> None:
        if settings.run is None:
            raise SettingsError("a run needs its folder")
        self.settings, self.ranks = settings, ranks
        self.classes = ranks.agree(lambda: data.check_classes(open_split(settings), settings))
        self.split = open_split(settings)
        self.frames, self.train_sha256 = data.frames_facts(self.split, settings), self.split.train_sha256()
        self.folder = RunFolder(settings.run, writes=ranks.is_first)
        self.precision = precision_of(settings, ranks.device)
        self.history: list[Row] = []
        self.before = "auto"  # the decoder of a run that goes on
        self.folder.say(ranks.agree(lambda: self._check_fit(shapes_of(settings, len(self.classes)))))
        if compiles(settings, ranks.device):
            compilation.begin()
        newest = load_newest(self.folder.checkpoints, self.folder.say) if resume else None
        if resume and newest is None:
            self._begin_again()
        with ThreadPoolExecutor(1) as beside:  # only the first rank reads weights: DDP broadcasts them as it begins
            wanted = settings.weights if newest is None and ranks.is_first else "none"
            weights = beside.submit(read_weights, settings.model, wanted)
            torch.manual_seed(settings.seed)
            model = build_model(settings.model, num_classes=len(self.classes), dropout=settings.dropout)
            if newest is None:
                self.folder.say(ranks.agree(lambda: fill(model, settings.model, weights.result(), settings.weights)))
        self.trainer = Trainer(
            model=channels_last(model).to(ranks.device),
            settings=settings,
            ranks=ranks,
            num_clips=len(self.split.train),
            precision=self.precision,
            stop=stop,
            name_clips=lambda places: data.clip_names(self.split, settings.seed, places),
        )
        if newest is not None:
            self._resume(*newest)
        self._check_same_start()

    def train(self) -> None:
        """Train to the end of the last epoch; StoppedError, all saved, if a signal comes before."""
        if self.trainer.finished:
            done = f"{self.folder.path} is finished: {counted(self.trainer.epoch, 'epoch')} are done"
            self.folder.say(f"{done}; a larger --num-epochs goes on")
            if self.ranks.agree(self._unclosed):  # it was killed before its last words
                if self.ranks.is_first:
                    self._draw(self.history)
                self._close()
            return
        try:
            with ExitStack() as stack:
                loaders = self._get_ready(stack)
                self._announce()
                self._train_epochs(stack, *loaders)
        except StoppedError as error:
            told = f"{error}: go on with --resume {self.folder.path}"
            self.folder.log(told)
            raise StoppedError(told) from None
        self._close()

    def _train_epochs(self, stack: ExitStack, loader: ClipLoader, val_loader: EvalLoader | None) -> None:
        writer = self._open_tensorboard(stack)
        saver = stack.enter_context(CheckpointWriter(self.folder.checkpoints))
        artist = stack.enter_context(Beside("tsn-curves"))
        drawn, begun, first = -math.inf, time.monotonic(), self.trainer.epoch
        while not self.trainer.finished:
            row = self.trainer.train_epoch(loader, lambda: self._save(saver, best=False))
            if val_loader is not None:
                row |= self._figures(self.trainer.validate(val_loader.one_pass()))
            before = best_row(self.history)
            best = "val_top1" in row and (before is None or row["val_top1"] > before["val_top1"])
            self.history.append(row)
            self._save(saver, best=best)
            an_epoch = (time.monotonic() - begun) / (self.trainer.epoch - first)
            left = an_epoch * (self.settings.num_epochs - self.trainer.epoch)
            if writer is not None:
                with self.folder.writing():
                    write_scalars(writer, row)
                self.folder.say(epoch_line(row, left=left))
            due = time.monotonic() - drawn > DRAW_EVERY and not artist.busy
            if self.ranks.is_first and (due or self.trainer.finished):
                artist.begin(partial(self._draw, list(self.history)))
                drawn = time.monotonic()

    def _check_fit(self, model: TSN) -> str:
        """Return a line about memory; SettingsError where the data or the memory are too small for the batch."""
        settings, ranks = self.settings, self.ranks
        check_batch(
            num_clips=len(self.split.train),
            clips_per_step=settings.batch_size * ranks.world_size * settings.accumulate,
            split=str(self.split.path),
        )
        needs = estimate(
            model,
            segments=settings.segments,
            input_size=settings.input_size,
            half=self.precision != "fp32",
            saves=ranks.is_first,
        )
        free = available(ranks.device, processes=ranks.local_world_size)
        return check_memory(needs, batch_size=settings.batch_size, free=free, where=str(ranks.device))

    def _check_same_start(self) -> None:
        """Refuse ranks that found different checkpoints: their run folders are not one."""
        position = self.trainer.position
        there = self.ranks.max(torch.tensor([position, -position], device=self.ranks.device)).tolist()
        if there != [position, -position]:
            raise DataError(
                f"{self.folder.path}: the ranks see different checkpoints: all must share the folder of --run"
            )

    def _get_ready(self, stack: ExitStack) -> tuple[ClipLoader, EvalLoader | None]:
        """Open the loaders and compile the network: what reads and decodes goes on in threads while that is compiled.

        The data come first: a run whose data are not there never began. A decoder that is still to be chosen comes
        after compiling, since it depends on how fast the network is then.
        """
        split, ranks, settings = self.split, self.ranks, self.settings
        val_loader = None
        if len(split.test):
            clips = FrameReader(split, "test", settings.frames, view=VIEWS["val"], segments=settings.segments)
            val_loader = data.open_val_loader(
                clips, ranks, batch_size=settings.batch_size, input_size=settings.input_size
            )
            stack.enter_context(val_loader)
        if told := self.trainer.compile():
            self.folder.say(told)
        decoder, told = ranks.agree(
            lambda: data.choose_decoder(split, self.settings, ranks, before=self.before, pace=self.trainer.pace)
        )
        if told:
            self.folder.say(told)
        self.settings = replace(self.settings, decoder=decoder)
        loader = data.open_train_loader(split, self.settings, ranks, position=self.trainer.position)
        stack.enter_context(loader)
        return loader, val_loader

    def _open_tensorboard(self, stack: ExitStack) -> Any:
        if not self.ranks.is_first:
            return None
        from torch.utils.tensorboard import SummaryWriter

        with self.folder.writing():
            writer = SummaryWriter(str(self.folder.path), purge_step=len(self.history))
        stack.callback(writer.close)
        return writer

    def _announce(self) -> None:
        settings, trainer, say = self.settings, self.trainer, self.folder.say
        self.folder.write_config(data.config(settings, self.split, self.classes))
        where = "CPU" if self.ranks.device.type == "cpu" else torch.cuda.get_device_name(self.ranks.device)
        say(
            f"{settings.model} ({count_parameters(trainer.model) / 1e6:.1f} M parameters), "
            f"{len(self.classes)} classes, {settings.segments} segments at {settings.input_size} pixels, "
            f"{self.precision}, {self.ranks.world_size} x {where}, {trainer.clips_per_step} clips a step"
        )
        say(f"{self.split.path}: {len(self.split.train)} clips to train on, {len(self.split.test)} to validate on")
        if trainer.position:
            say(f"going on at step {trainer.step}, epoch {trainer.epoch}")

    def _begin_again(self) -> None:
        """Say that there is no checkpoint; DataError where there must have been one, as the history says."""
        epochs = len(read_history(self.folder.path))
        if epochs > 1:
            raise DataError(
                f"{self.folder.checkpoints} holds no checkpoint, though {epochs} epochs are in metrics.jsonl: put them "
                "back, or set another --run"
            )
        self.folder.say(f"{self.folder.path} has no checkpoint yet: it begins at the beginning")

    def _figures(self, scores: Scores) -> Row:
        """Return a row's figures of validation: none, and a warning, where the network gave no numbers."""
        if not math.isfinite(scores.loss):
            self.folder.say("warning: the network's answers for the test clips were not all numbers: no validation")
            return {}
        return {"val_loss": scores.loss, "val_top1": scores.top1, "val_top5": scores.top5}

    def _resume(self, path: Path, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, with the files as they are after its epoch, wherever the run was killed."""
        run = Facts(
            settings=self.settings,
            classes=self.classes,
            frames=self.frames,
            train_sha256=self.train_sha256,
            history=[],
        )
        state = training_of(state, path, own=self.trainer.state(), facts=run, num_clips=len(self.split.train))
        self.trainer.load_state(state)
        self.history, self.before = state["history"], state["settings"].get("decoder", self.before)
        if self.ranks.is_first:
            self.folder.write_history(self.history)
            mend(self.folder.checkpoints, path, state)

    def _save(self, saver: CheckpointWriter, *, best: bool) -> None:
        if not self.ranks.is_first:
            return
        saver.save(self._state(), best=best)
        self.folder.write_history(self.history)

    def _state(self) -> dict[str, Any]:
        return self.trainer.state() | {
            "settings": self.settings.plain(),
            "classes": list(self.classes),
            "split": self.settings.split,
            "frames": self.frames,
            "train_sha256": self.train_sha256,
            "history": self.history,
        }

    def _draw(self, history: list[Row]) -> None:
        settings = self.settings
        title = f"{settings.model}, {settings.segments} segments, split {settings.split} ({self.folder.path.name})"
        with self.folder.writing():
            draw_curves(history, self.folder.path / "curves.png", title)

    def _best_state(self) -> tuple[dict[str, Any], str]:
        """Return the best epoch's state, else the one at hand and why it is not the best."""
        best, row = self.folder.checkpoints / BEST, best_row(self.history)
        if row is None:
            return self._state(), ""
        try:
            state = load_checkpoint(best)
            history = facts_of(state, best).history
            if history and history[-1]["epoch"] == row["epoch"]:
                return state | {"model": weights_of(state, self.trainer.model.state_dict(), best)}, ""
            lost = f"{best} is not of epoch {row['epoch']}, the best"
        except DataError as error:
            lost = str(error)
        return self._state(), lost if row is not self.history[-1] else ""

    def _unclosed(self) -> bool:
        """Whether the weights of the best epoch are not those that lie in the run's folder."""
        best: Row = self._best_state()[0]["history"][-1]
        return row_of(self.folder.path / WEIGHTS) != best

    def _close(self) -> None:
        device = self.ranks.device
        most = self.ranks.max(torch.tensor([peak(device)], dtype=torch.float64, device=device)).item()
        if not self.ranks.is_first or not self.history:
            return
        state, lost = self._best_state()
        if lost:
            self.folder.say(f"warning: {lost}: {WEIGHTS} holds the weights of the last epoch")
        weights_file = self.folder.path / WEIGHTS
        with self.folder.writing(also=SafetensorError), replacing(weights_file) as temporary:
            weights = {name: value.contiguous().cpu() for name, value in state["model"].items()}
            save_file(weights, temporary, metadata=metadata(state, weights))
            temporary.chmod(0o644)  # safetensors makes it for its owner alone
        say = self.folder.say
        say(verdict(self.history, on_gpu=device.type == "cuda", precision=self.precision))
        say(f"peak memory: {most / GIB:.1f} GiB a process")
        if row := best_row(self.history):
            say(f"best: {row['val_top1']:.2%} top-1 in epoch {row['epoch']}")
        say(f"the run is in {self.folder.path}: curves.png, summary.csv, checkpoints, model.safetensors")


def run_rank(settings: TrainSettings, resume: bool, ranks: Ranks) -> None:
    """Train as this rank."""
    if settings.run is None:
        raise SettingsError("a run needs its folder")
    with ExitStack() as stack:
        stop = stack.enter_context(stop_requests())
        if ranks.is_first:
            busy = f"{settings.run} is in use by another training: wait for it, or set another --run"
            with writing(settings.run, "set another --run"):
                new = not settings.run.exists() or not any(settings.run.iterdir())
                stack.enter_context(locked(settings.run, busy, "checkpoints"))
            if new:
                stack.enter_context(_removed_if_unused(settings.run))
        Run(settings, ranks, resume=resume, stop=stop).train()


@contextmanager
def _removed_if_unused(folder: Path) -> Iterator[None]:
    """Remove a run folder again, which was empty and is held, if the run fails before it begins.

    What goes wrong on the way is not what the user must be told. A link to a folder stays, and leads to an empty one.
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
