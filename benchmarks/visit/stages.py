"""The stages of a visit, each a generator of figures: `python -m benchmarks.visit.stages NAME VISIT` runs one.

Each uses the project's own pieces: the loader, the network, the optimiser, and `tsn train` as a user starts it. Heavy
libraries are imported by the stages: the command that starts them needs none.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.common import repeated, timed
from benchmarks.scaling import cores_needed, link_needed
from tsn.tsn_shared.settings import ExtractSettings, SplitsSettings, TrainSettings
from tsn.tsn_shared.splits import open_split, read_split

if TYPE_CHECKING:
    import torch

EPOCH = {"train": 9_537, "test": 3_783}
"""Clips of UCF101's split 1."""


class Figure(NamedTuple):
    """A figure with its unit and, where there is one, the aim: at least `least` or at most `most`; or just words."""

    name: str
    value: float | str
    unit: str = ""
    least: float | None = None
    most: float | None = None

    def row(self, stage: str, *, judged: bool) -> str:
        """Return the figure as the row of a table, with a verdict where it is judged by its aim."""
        shown, aim, met = str(self.value), "", ""
        if not isinstance(self.value, str):
            size = abs(self.value)
            digits = 0 if size >= 1000 or isinstance(self.value, int) else 1 if size >= 10 else 3
            shown = f"{self.value:,.{digits}f}"
            if self.least is not None:
                aim, met = f"at least {self.least:g}", "met" if self.value >= self.least else "MISSED"
            if self.most is not None:
                aim, met = f"at most {self.most:g}", "met" if self.value <= self.most else "MISSED"
        return f"| {stage} | {self.name} | {shown} | {self.unit} | {aim} | {met if judged else ''} |"


class Visit(NamedTuple):
    """A folder for what the stages make, where the data are or will be, and whether all is tiny and on the CPU."""

    folder: Path
    frames: Path
    splits: Path
    rehearse: bool

    @property
    def device(self) -> "torch.device":
        """Where the stages run."""
        import torch

        return torch.device("cpu") if self.rehearse else torch.device("cuda", 0)

    def settings(self, **changed: Any) -> TrainSettings:
        """Return the settings of training on epochs of UCF101's length: the published recipe, or what a CPU does."""
        base: dict[str, Any] = {"frames": self.frames, "splits": self.folder / "splits", "split": "epoch", "gpus": "1"}
        if self.rehearse:
            base |= {"gpus": "0", "model": "resnet18", "input_size": 32, "batch_size": 5}
        return TrainSettings(**(base | {"weights": "none"} | changed))


def data(visit: Visit) -> Iterator[Figure]:
    """Draw a data set where none was brought, and repeat its clips to epochs of UCF101's length."""
    from benchmarks.visit.runs import repeat
    from tsn.pipeline.extract.run import extract_frames
    from tsn.pipeline.splits.build import build_splits
    from tsn.pipeline.synthetic import LISTS, VIDEOS, make_dataset

    if not visit.splits.exists():
        made = visit.folder / "data"
        make_dataset(made, groups=4 if visit.rehearse else 16, frames=(30, 60))
        extract_frames(made / VIDEOS, ExtractSettings(out=visit.frames))
        build_splits(made / LISTS, SplitsSettings(frames=visit.frames, out=visit.splits))
    split, epoch = read_split(visit.splits / "split1.h5"), {"train": 30, "test": 10} if visit.rehearse else EPOCH
    repeat(split, visit.folder / "splits" / "splitepoch.h5", **epoch)
    yield Figure("clips that are there, train", len(split.train), "clips")
    yield Figure("the same repeated to an epoch", epoch["train"], "clips")


def tests(visit: Visit) -> Iterator[Figure]:
    """Run the tests that need a GPU, telling each that fails at once; a rehearsal sees them skip."""
    environment = os.environ | ({} if visit.rehearse else {"TSN_REQUIRE_CUDA": "1"})
    command = [sys.executable, "-m", "pytest", "-v", "-m", "needs_cuda and not slow", "-p", "no:cacheprovider"]
    command += ["-W", "default", "--tb=short", "--durations=15", "-o", "tmp_path_retention_policy=failed"]
    line = ""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if "::" in line and "%]" in line and (" FAILED" in line or " ERROR" in line):
                yield Figure(line.split()[0], "failed")
    yield Figure("all of them", line.strip("= \n"))
    if process.returncode not in (0, 5):  # 5: there are none
        raise SystemExit(process.returncode)


def step(visit: Visit) -> Iterator[Figure]:
    """Measure the training step on ready clips, as `tsn train` takes it first, then in other ways."""
    import torch

    from benchmarks.train import AS_TRAIN, matmul_flops, mfu, step_of, ways

    device, usual, found = visit.device, visit.settings().batch_size, ways(on_gpu=not visit.rehearse)
    peak = matmul_flops(256 if visit.rehearse else 8_192, device)
    yield Figure("bf16 matmul, 100 % of MFU", peak / 1e12, "TFLOP/s")
    steps = [(name, way, usual) for name, way in found.items() if not (way.ddp or (visit.rehearse and way.compiled))]
    for name, way, batch in [steps[0], (f"{4 * usual} clips", found[AS_TRAIN], 4 * usual), *steps[1:]]:
        settings = visit.settings(batch_size=batch)
        try:
            seconds, _ = timed(step_of(way, settings, device), seconds=0.2 if visit.rehearse else 2.5, device=device)
        except RuntimeError as error:  # out of memory, or what a card cannot compile: the others go on
            yield Figure(name, f"failed: {str(error).splitlines()[0][:60]}")
            continue
        yield Figure(name, batch / seconds, "clips/s")
        yield Figure(f"{name}, MFU", 100 * mfu(batch / seconds, settings, peak), "%")
        if not visit.rehearse:
            yield Figure(f"{name}, memory", torch.cuda.max_memory_allocated(device) / 2**30, "GiB")
        for gpus in (8, 64) if name == AS_TRAIN else ():
            link = link_needed(batch / seconds, gpus=gpus, batch=batch)
            yield Figure(f"the link that {gpus} of these need", link / 1e9, "GB/s")


def train(visit: Visit) -> Iterator[Figure]:
    """Run `tsn train` for epochs of UCF101's length, watching its memory: the last ones tell speed and growth."""
    from benchmarks.train import matmul_flops, mfu
    from benchmarks.visit.runs import ended, most, train_epochs

    epochs = 5 if visit.rehearse else 10
    rows, looks = train_epochs(visit, "train", num_epochs=epochs)
    for line in (visit.folder / "train" / "log.txt").read_text(encoding="utf-8").splitlines():
        words = line.split(" ", 2)[2]
        if words.startswith(("compiled in", "frames are decoded", "compute-bound", "data-bound")):
            yield Figure(words.split()[0], words)
    for row in (*rows[:2], rows[-1]):
        yield Figure(f"epoch {row['epoch']}", row["clips_per_second"], "clips/s", least=1500 if row["epoch"] else None)
    rate, seconds, last = rows[-1]["clips_per_second"], rows[-1]["seconds"], epochs - 1
    peak = matmul_flops(256 if visit.rehearse else 8_192, visit.device)
    yield Figure("MFU", 100 * mfu(rate, visit.settings(), peak), "%", least=50)
    yield Figure("waiting for data", 100 * rows[-1]["data_wait_share"], "% of an epoch", most=2)
    yield Figure("an epoch's training", seconds, "s", most=7)
    whole = (ended(looks, last - 1) - ended(looks, 1)) / (last - 2)
    yield Figure("validation and checkpoint take more", whole - seconds, "s", most=1.0)
    yield Figure("the first epoch takes more, from the command on", ended(looks, 0) - looks[0].seconds - whole, "s")
    yield Figure("80 epochs", 80 * whole / 60, "minutes", most=10)
    for kind in ("main memory", "GPU memory"):
        peak = most(looks, kind, last)
        yield Figure(kind, peak / 2**30, "GiB")
        yield Figure(f"{kind}, growth from epoch 2 to {last}", (peak - most(looks, kind, 2)) / 2**20, "MiB", most=64)


def loader(visit: Visit) -> Iterator[Figure]:
    """Measure the loader alone by decoder and by threads: clips a second, and what they cost the CPU, and how exact.

    What waits for the GPU by spinning is in the CPU's time. Pixels are compared with those of the CPU's graph.
    """
    import torch

    from tsn.pipeline.loading.loader import train_clips
    from tsn.pipeline.loading.pixels import Pixels
    from tsn.tsn_shared.normalisation import STD

    settings, cores = visit.settings(), len(os.sched_getaffinity(0))
    opened, batch = partial(train_clips, open_split(settings), visit.frames, settings), settings.batch_size
    pixels = partial(Pixels, input_size=settings.input_pixels)
    ways: dict[str, dict[str, Any]] = {name: {"decoder": name} for name in ("cpu", "engine", "mixed")}
    ways["cpu, half"] = {"decoder": "cpu", "half": True}
    if visit.rehearse:
        ways = {"DALI's finish": {"all_dali": True}, "torch's finish": {}}
    for name, options in list(ways.items())[:2]:
        for count in sorted({max(1, cores // 8), max(1, cores // 2)} - {cores}):
            ways[f"{name}, {count} of {cores} threads"] = options | {"threads": count}
    with opened(pixels(device=torch.device("cpu"), all_dali=True)) as batches:
        wanted = next(batches).clips.clone()
    for name, options in ways.items():
        with opened(pixels(device=visit.device, **options)) as batches:
            apart = (next(batches).clips.cpu().float() - wanted).abs() * 255 * torch.tensor(STD).view(3, 1, 1)
            seconds, cpu = timed(batches.__next__, seconds=0.2 if visit.rehearse else 2.5, device=visit.device)
        yield Figure(name, batch / seconds, "clips/s")
        yield Figure(f"{name}, CPU time at most", 1000 * cpu / batch, "core-ms a clip")
        needed = cores_needed(1500, gpus=8, core_ms=1000 * cpu / batch)
        yield Figure(f"{name}, for 8 GPUs of 1,500 clips/s", needed, "cores")
        if "threads" not in options:
            yield Figure(f"{name}, largest difference", apart.max().item(), "of 255")
            yield Figure(f"{name}, mean difference", apart.mean().item(), "of 255", most=1.0)


def kernels(visit: Visit) -> Iterator[Figure]:
    """Say which kernels a training step spends its time in; more of them are in the log."""
    from torch.profiler import ProfilerActivity, profile

    from benchmarks.train import AS_TRAIN, step_of, ways

    taken = step_of(ways(on_gpu=not visit.rehearse)[AS_TRAIN], visit.settings(), visit.device)
    repeated(taken, 3, visit.device)
    with profile(activities=[ProfilerActivity.CPU if visit.rehearse else ProfilerActivity.CUDA]) as profiler:
        repeated(taken, 5, visit.device)
    key = "self_cpu_time_total" if visit.rehearse else "self_device_time_total"
    times = sorted(((getattr(event, key), event.key) for event in profiler.key_averages()), reverse=True)
    print(*times, sep="\n")
    for time, name in times[:8]:
        yield Figure(name[:60], 100 * time / sum(time for time, _ in times), "% of a step")


STAGES = {"data": (data, 40), "tests": (tests, 240), "step": (step, 90), "train": (train, 140)}
STAGES |= {"loader": (loader, 60), "kernels": (kernels, 60)}
"""The stages, and the seconds that each may take."""

PARTS = {"right": ("tests",), "figures": ("data", "step", "train", "loader", "kernels")}
"""Each in the order of what must not be lost where the time is short."""


if __name__ == "__main__":
    name, visit = sys.argv[1], pickle.loads(bytes.fromhex(sys.argv[2]))
    rows = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else is printed belongs to the log
    for figure in STAGES[name][0](visit):
        rows.write(figure.row(name, judged=not visit.rehearse) + "\n")
