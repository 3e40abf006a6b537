"""The stages of a visit, each a generator of figures: `python -m benchmarks.visit.stages NAME VISIT` runs one.

Each uses the project's own pieces: the loader, the network, the optimiser, and `tsn train` as a user starts it. Heavy
libraries are imported by the stages: the command that starts them needs none.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.visit.plan import Figure, Visit
from benchmarks.visit.runs import repeat, train_epochs, tsn
from tsn.pipeline.synthetic import LISTS, VIDEOS, make_dataset
from tsn.tsn_shared.splits import read_split

if TYPE_CHECKING:
    from benchmarks.visit.step import Variant

CPU_TIME = ", CPU time at most"
"""End of the name of a figure of what a way to load costs the CPU: what waits for the GPU by spinning is in it."""


def data(visit: Visit) -> Iterator[Figure]:
    """Draw a data set where none was brought, and repeat its clips to epochs of UCF101's length."""
    splits = visit.splits or visit.folder / "data" / "splits"
    if visit.frames is None:
        made = visit.folder / "data"
        make_dataset(made, groups=4 if visit.rehearse else 16, frames=(30, 60))
        tsn("extract-frames", made / VIDEOS, "--out", visit.shards)
        tsn("build-splits", made / LISTS, "--frames", visit.shards, "--out", splits)
    split = read_split(splits / "split1.h5")
    repeat(split, visit.folder / "splits" / "splitepoch.h5", *visit.sizes.epoch)
    repeat(split, visit.folder / "splits" / "splitlesson.h5", *visit.sizes.lesson)
    yield Figure(name="clips that are there, train", value=len(split.train), unit="clips")
    yield Figure(name="the same repeated to an epoch", value=visit.sizes.epoch[0], unit="clips")


def together(visit: Visit) -> Iterator[Figure]:
    """See DALI and torch, built for different CUDA versions or not, work in one process in either order of import."""
    for first, second in (("torch", "nvidia.dali"), ("nvidia.dali", "torch")):
        imports = f"import sys, {first}, {second}; from benchmarks.visit.loading import Visit, one_batch"
        code = f"{imports}; one_batch(Visit.decode(sys.argv[1]))"
        done = subprocess.run([sys.executable, "-c", code, visit.encode()], check=False)
        words = "works" if done.returncode == 0 else f"exit code {done.returncode}"
        yield Figure(name=f"{first} imported before {second}", words=words)


def agreement(visit: Visit) -> Iterator[Figure]:
    """Compare clips from every decoder with those of the CPU's graph, in steps of 0 to 255."""
    import torch

    from benchmarks.visit.loading import decoders, open_loader
    from tsn.tsn_shared.augment import STD

    scale = 255 * torch.tensor(STD).view(1, 1, 3, 1, 1)
    with open_loader(visit, device=torch.device("cpu"), all_dali=True) as loader:
        clips = next(loader).clips.clone()
    for name, options in decoders(visit).items():
        with open_loader(visit, **options) as loader:
            difference = ((next(loader).clips.cpu().float() - clips) * scale).abs()
        yield Figure(name=f"{name} against the CPU, largest difference", value=difference.max().item(), unit="of 255")
        yield Figure(
            name=f"{name} against the CPU, mean difference", value=difference.mean().item(), unit="of 255", most=1.0
        )


def loader(visit: Visit) -> Iterator[Figure]:
    """Measure the loader alone by decoder: clips a second, and what they cost the CPU."""
    from benchmarks.visit.loading import decoders, open_loader, threaded, timed

    batch = visit.sizes.batch
    for name, options in (decoders(visit) | threaded(visit)).items():
        with open_loader(visit, **options) as batches:
            seconds, cpu = timed(lambda batches=batches: next(batches), visit)  # type: ignore[misc]
        yield Figure(name=name, value=batch / seconds, unit="clips/s")
        yield Figure(name=f"{name}{CPU_TIME}", value=1000 * cpu / batch, unit="core-ms a clip")


def step(visit: Visit) -> Iterator[Figure]:
    """Measure the training step on ready clips, by precision, memory layout, compilation and batch."""
    from benchmarks.visit.loading import timed
    from benchmarks.visit.step import TrainStep, matmul_flops, mfu, peak_memory, variants

    peak = matmul_flops(visit.sizes.matmul, visit.device)
    yield Figure(name="bf16 matmul, 100 % of MFU", value=peak / 1e12, unit="TFLOP/s")
    for variant in reversed(variants(visit.sizes, on_gpu=not visit.rehearse)):  # what training does first
        try:
            seconds, _ = timed(TrainStep(variant, visit.sizes, visit.device), visit)
        except RuntimeError as error:  # out of memory, or what a card cannot capture or compile: the others go on
            yield Figure(name=variant.name, words=f"failed: {str(error).splitlines()[0][:60]}")
            continue
        rate = variant.batch / seconds
        yield Figure(name=variant.name, value=rate, unit="clips/s")
        yield Figure(name=f"{variant.name}, MFU", value=100 * mfu(rate, visit.sizes, peak), unit="%")
        if (memory := peak_memory(visit.device)) is not None:
            yield Figure(name=f"{variant.name}, memory", value=memory / 2**30, unit="GiB")


def default(visit: Visit) -> Iterator[Figure]:
    """Run `tsn train` as it comes for two short epochs: it compiles, chooses a decoder and learns."""
    import math

    rows, _ = train_epochs(visit, "default", "lesson", 2, "--model", visit.sizes.model)
    chance = math.log(len(read_split(visit.folder / "splits" / "splitlesson.h5").classes))
    first = rows[0]["train_loss"]
    yield Figure(name="loss of the first epoch, from chance", value=abs(first - chance), unit="nats", most=1.0)
    for line in (visit.folder / "default" / "log.txt").read_text(encoding="utf-8").splitlines():
        words = line.split(" ", 2)[2]
        if words.startswith(("compiled in", "frames are decoded", "compute-bound", "data-bound")):
            yield Figure(name=words.split()[0], words=words)


def train(visit: Visit) -> Iterator[Figure]:
    """Run `tsn train` for epochs of UCF101's length, watching its memory: the last ones tell speed and growth."""
    from benchmarks.visit.step import mfu

    sizes = visit.sizes
    rows, watch = train_epochs(visit, "train", "epoch", sizes.epochs, "--model", sizes.model)
    last = rows[-1]
    for row in (*rows[:2], last):
        aim = 1500 if row["epoch"] else None
        yield Figure(name=f"epoch {row['epoch']}", value=row["clips_per_second"], unit="clips/s", least=aim)
    yield Figure(name="waiting for data", value=100 * last["data_wait_share"], unit="% of an epoch", most=2)
    ready = {figure.name: figure.value for figure in visit.figures("step")}
    if alone := ready.get(default_variant(visit).name):
        yield Figure(
            name="of the step on ready clips", value=100 * last["clips_per_second"] / alone, unit="%", least=98
        )
    for peak in (figure.value for figure in visit.figures("step") if figure.unit == "TFLOP/s"):
        share = mfu(last["clips_per_second"], sizes, 1e12 * (peak or 0))
        yield Figure(name="MFU", value=100 * share, unit="%", least=50)
    yield Figure(name="an epoch's training", value=last["seconds"], unit="s", most=7)
    ends = sizes.epochs - 1
    whole = (watch.ended(ends - 1) - watch.ended(1)) / (ends - 2)
    yield Figure(name="validation and checkpoint take more", value=whole - last["seconds"], unit="s", most=1.0)
    begun = watch.ended(0) - watch.samples[0].seconds - whole
    yield Figure(name="the first epoch takes more, from the command on", value=begun, unit="s")
    yield Figure(name="80 epochs", value=80 * whole / 60, unit="minutes", most=10)
    for kind, name in (("resident", "main memory"), *(() if visit.rehearse else (("gpu", "GPU memory"),))):
        most = watch.most(kind, ends)
        yield Figure(name=name, value=most / 2**30, unit="GiB")
        grown = (most - watch.most(kind, 2)) / 2**20
        yield Figure(name=f"{name}, growth from epoch 2 to {ends}", value=grown, unit="MiB", most=64)


def curve(visit: Visit) -> Iterator[Figure]:
    """Train the same 200 steps in fp32 and in bf16 and compare the losses; another seed gives the measure."""
    sizes = visit.sizes
    words = ("--model", sizes.learner, "--lr", 0.005, "--warmup-epochs", 1, "--dropout", 0.5)
    losses = {}
    for name, precision, seed in (("fp32", "fp32", 0), ("bf16", "bf16", 0), ("another seed", "fp32", 1)):
        more = ("--precision", precision, "--seed", seed)
        rows, _ = train_epochs(visit, name, "lesson", sizes.lessons, *words, *more)
        losses[name] = [row["train_loss"] for row in rows]
        yield Figure(name=f"loss, {name}", words=" ".join(f"{loss:.3f}" for loss in losses[name]))
    seeds, formats = (_apart(losses["fp32"], losses[name]) for name in ("another seed", "bf16"))
    yield Figure(name="another seed against fp32, mean difference", value=100 * seeds, unit="%")
    yield Figure(name="bf16 against fp32, mean difference", value=100 * formats, unit="%", most=round(100 * seeds, 2))


def _apart(losses: list[float], others: list[float]) -> float:
    """Return the mean difference of two curves, as a share of the first one's mean."""
    return sum(abs(a - b) for a, b in zip(losses, others, strict=True)) / sum(losses)


def default_variant(visit: Visit) -> "Variant":
    """Return the step that `tsn train` takes by default."""
    from benchmarks.visit.step import variants

    return variants(visit.sizes, on_gpu=not visit.rehearse)[-1]


def paper(visit: Visit) -> Iterator[Figure]:
    """Say what 8 and 64 of these GPUs would reach, from the step and the fastest loader that were measured."""
    from benchmarks.scaling import DGX, cores_needed, link_needed, reach, setup_of

    default = default_variant(visit)
    step = next(f.value for f in visit.figures("step") if f.name == default.name)
    loading = {f.name: f.value or 0.0 for f in visit.figures("loader")}
    best = max((name for name in loading if name + CPU_TIME in loading), key=loading.__getitem__)
    setup = setup_of(DGX, clips_per_second=step or 0.0, batch=default.batch, core_ms=loading[best + CPU_TIME])
    for gpus in (8, 64):
        found = reach(setup, gpus)
        yield Figure(name=f"{gpus} GPUs", value=found.clips_per_second, unit="clips/s")
        yield Figure(name=f"{gpus} GPUs, bound by", words=f"{found.bound}, {found.efficiency:.0%} efficient")
        yield Figure(name=f"{gpus} GPUs, link needed", value=link_needed(setup, gpus) / 1e9, unit="GB/s")
    yield Figure(name="cores that 8 GPUs need", value=cores_needed(setup), unit="cores")


def tests(visit: Visit) -> Iterator[Figure]:
    """Run the tests that need a GPU, telling each that fails at once; a rehearsal sees them skip."""
    environment = os.environ | ({} if visit.rehearse else {"TSN_REQUIRE_CUDA": "1"})
    words = ["-v", "-m", "needs_cuda and not slow", "-p", "no:cacheprovider", "-W", "default", "--tb=short"]
    words += ["--durations=15", "-o", "tmp_path_retention_policy=failed"]
    counts = dict.fromkeys(("PASSED", "FAILED", "ERROR", "SKIPPED"), 0)
    command = [sys.executable, "-m", "pytest", *words]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            outcome = next((word for word in counts if f" {word}" in line and "::" in line and "%]" in line), None)
            if outcome is not None:
                counts[outcome] += 1
            if outcome in ("FAILED", "ERROR"):
                yield Figure(name=line.split()[0], words="failed")
    yield Figure(name="passed", value=counts["PASSED"], unit="tests", least=None if visit.rehearse else 1)
    yield Figure(name="failed", value=counts["FAILED"] + counts["ERROR"], unit="tests", most=0)
    yield Figure(name="skipped", value=counts["SKIPPED"], unit="tests")
    if process.returncode not in (0, 5):  # 5: there are none
        raise SystemExit(process.returncode)


def profile(visit: Visit) -> Iterator[Figure]:
    """Say which kernels a training step spends its time in."""
    from benchmarks.visit.step import TrainStep, kernels

    for name, share in kernels(TrainStep(default_variant(visit), visit.sizes, visit.device), visit.device):
        yield Figure(name=name, value=100 * share, unit="% of a step")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage and the seconds that it may take."""

    run: Callable[[Visit], Iterator[Figure]]
    limit: float


STAGES = {
    "data": Stage(run=data, limit=40),
    "together": Stage(run=together, limit=40),
    "default": Stage(run=default, limit=80),
    "tests": Stage(run=tests, limit=240),
    "agreement": Stage(run=agreement, limit=30),
    "loader": Stage(run=loader, limit=60),
    "step": Stage(run=step, limit=90),
    "train": Stage(run=train, limit=140),
    "paper": Stage(run=paper, limit=20),
    "profile": Stage(run=profile, limit=60),
    "curve": Stage(run=curve, limit=240),
}

PARTS = {
    "right": ("data", "default", "tests", "together"),
    "figures": ("data", "step", "train", "loader", "paper", "profile", "agreement"),
}
"""Each in the order of what a visit that is cut short must not lose."""


if __name__ == "__main__":
    name, visit = sys.argv[1], Visit.decode(sys.argv[2])
    for figure in STAGES[name].run(visit):
        visit.note(name, figure)
