"""A small data set of UCF101's shape, drawn by ffmpeg: videos in class folders, groups, and lists of three splits.

What a class is shows in its pattern (a ball, rings, rain, ...); what a group is shows in its colours, size, speed and
place, so that held-out groups are new footage of known classes. Every clip is a function of (seed, class, group, clip).
"""

import colorsys
import os
import random
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from tsn.tsn_shared.console import Progress
from tsn.tsn_shared.errors import TsnError
from tsn.tsn_shared.files import locked, replacing, write_text

VIDEOS, LISTS = "UCF-101", "ucfTrainTestlist"
"""Folders that a data set is made of, as in UCF101."""

WIDTH, HEIGHT, FPS = 320, 240, 25
_TIME_LIMIT = 60.0  # seconds; a clip takes a tenth of one

_PATTERNS = {
    "BouncingBall": "gt({radius}, hypot(X-W/2-W/4*sin({turn}*T+{phase}), Y-H*0.72+H*0.45*abs(cos({speed}*T+{phase}))))",
    "FallingRain": "lt(mod(X+{lean}*Y,{cell}),{cell}/4)"
    "*lt(mod(Y-{speed}*50*T+997*sin(floor((X+{lean}*Y)/{cell})+{phase}),{cell}*3),{cell}*1.4)",
    "GrowingRings": "0.5+0.5*sin({wave}*hypot(X-W/2-{right},Y-H/2-{down})-{speed}*4*T+{phase})",
    "RollingWaves": "gt(sin({wave}*(Y+{cell}*0.6*sin(X/{cell}+{speed}*2*T+{phase}))+{turn}*T),0)",
    "SlidingCheckers": "gt(sin((X+{speed}*12*T)*3.1416/{cell}+{phase})*sin((Y+{turn}*12*T)*3.1416/{cell}),0)",
    "SpinningFan": "gt(cos({blades}*atan2(Y-H/2-{down},X-W/2-{right})+{speed}*2*T+{phase}),0.2)"
    "*lt(hypot(X-W/2-{right},Y-H/2-{down}),H*0.46)",
}
"""What a class looks like: its brightness from 0 to 1 at pixel X, Y of W, H and time T, as ffmpeg's `geq` reads it."""

CLASSES = tuple(sorted(_PATTERNS))


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip to draw; numbers count from 1 as in UCF101's names."""

    label: str
    group: int
    clip: int

    @property
    def path(self) -> str:
        """Path below the folder of videos, as the lists name it."""
        return f"{self.label}/v_{self.label}_g{self.group:02d}_c{self.clip:02d}.avi"


def make_dataset(
    folder: Path,
    *,
    classes: Sequence[str] = CLASSES,
    groups: int = 8,
    clips: int = 2,
    frames: tuple[int, int] = (30, 50),
    seed: int = 0,
    jobs: int | None = None,
) -> None:
    """Make `folder/UCF-101` and `folder/ucfTrainTestlist`: `clips` clips of `frames` frames for each class and group.

    Of every four groups one tests, another one in each of the three splits. Clips that are there already are kept, so
    that what was interrupted goes on: for other ones name another folder. TsnError when ffmpeg fails, SettingsError
    while another does the same.
    """
    work = [
        Clip(label=label, group=group + 1, clip=clip + 1)
        for label in classes
        for group in range(groups)
        for clip in range(clips)
    ]
    busy = f"{folder} is in use by another tsn: wait for it, or name another folder"
    with (
        locked(folder, busy, *(f"{VIDEOS}/{label}" for label in classes)),
        Progress("drawing videos", total=len(work), unit="video") as progress,
        ThreadPoolExecutor(jobs or len(os.sched_getaffinity(0))) as pool,
    ):
        for label in classes:
            (folder / VIDEOS / label).mkdir(parents=True, exist_ok=True)
        for _ in pool.map(lambda clip: _draw(folder / VIDEOS, clip, frames, seed), work):
            progress.advance()
        _write_lists(folder / LISTS, classes, work, groups)


def _write_lists(folder: Path, classes: Sequence[str], work: list[Clip], groups: int) -> None:
    """Write the lists as UCF101 has them: CRLF ends, labels from 1 in the train lists and none in the test lists."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_lines(folder / "classInd.txt", [f"{number} {label}" for number, label in enumerate(classes, start=1)])
    tests = max(groups // 4, 1)
    for split in range(3):
        held_out = {(split * tests + k) % groups + 1 for k in range(tests)}
        train = [f"{clip.path} {classes.index(clip.label) + 1}" for clip in work if clip.group not in held_out]
        _write_lines(folder / f"trainlist{split + 1:02d}.txt", train)
        _write_lines(folder / f"testlist{split + 1:02d}.txt", [clip.path for clip in work if clip.group in held_out])


def _write_lines(path: Path, lines: list[str]) -> None:
    write_text(path, "".join(line + "\r\n" for line in lines))


def _draw(folder: Path, clip: Clip, frames: tuple[int, int], seed: int) -> None:
    if (folder / clip.path).exists():
        return
    with replacing(folder / clip.path) as temporary:
        command = _command(clip, frames, seed, temporary)
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIME_LIMIT, check=False
            )
        except subprocess.TimeoutExpired:
            raise TsnError(f"{folder / clip.path}: ffmpeg took more than {_TIME_LIMIT:.0f} s to draw it") from None
        if done.returncode != 0:
            last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise TsnError(f"{folder / clip.path}: ffmpeg could not draw it: {last}")


def _command(clip: Clip, frames: tuple[int, int], seed: int, out: Path) -> list[str]:
    """Draw at half the size in grey, which is four times cheaper, then enlarge, colour and add noise."""
    of_group = random.Random(f"{seed} {clip.label} {clip.group}")
    of_clip = random.Random(f"{seed} {clip.label} {clip.group} {clip.clip}")
    pattern = _PATTERNS[clip.label].format(**_numbers(of_group, of_clip))
    dark, light = _colours(of_group)
    canvas = f"color=black:size={WIDTH // 2}x{HEIGHT // 2}:rate={FPS}"
    stream = ffmpeg.input(canvas, format="lavfi").filter("format", "gray").filter("geq", lum=f"255*({pattern})")
    stream = stream.filter("scale", WIDTH, HEIGHT, flags="bicubic").filter("format", "rgb24")
    stream = stream.filter(
        "lutrgb", **{c: f"{low}+({high}-{low})*val/255" for c, low, high in zip("rgb", dark, light, strict=True)}
    )
    stream = stream.filter("noise", all_seed=of_clip.randrange(1 << 20), alls=of_group.randint(2, 8), allf="t")
    stream = stream.output(
        f"file:{out.resolve()}",
        format="avi",
        vcodec="mpeg4",
        vtag="XVID",
        pix_fmt="yuv420p",
        threads=1,
        **{"frames:v": of_clip.randint(*frames), "q:v": 5, "flags:v": "+bitexact", "fflags": "+bitexact"},
    )
    command: list[str] = stream.global_args(
        "-hide_banner", "-loglevel", "error", "-filter_complex_threads", "1"
    ).compile(cmd=imageio_ffmpeg.get_ffmpeg_exe(), overwrite_output=True)
    return command


def _numbers(of_group: random.Random, of_clip: random.Random) -> dict[str, str]:
    """Draw what the patterns leave open: sizes in pixels of the canvas, speeds in radians a second."""
    cell = of_group.uniform(11, 20)
    numbers = {
        "cell": cell,
        "wave": 2.2 / cell * of_group.uniform(1.4, 2.2),
        "radius": of_group.uniform(16, 26),
        "blades": float(of_group.randint(3, 6)),
        "lean": of_group.uniform(-0.35, 0.35),
        "right": of_group.uniform(-18, 18),
        "down": of_group.uniform(-10, 10),
        "speed": of_group.uniform(1.5, 4) * of_clip.uniform(0.8, 1.2),
        "turn": of_group.uniform(0.6, 1.6) * of_clip.choice((-1, 1)),
        "phase": of_clip.uniform(0, 6.28),
    }
    return {name: f"({number:.4f})" for name, number in numbers.items()}


def _colours(of_group: random.Random) -> tuple[list[int], list[int]]:
    """Draw a group's two colours, the darker one first: red, green and blue from 0 to 255."""
    hue = of_group.random()
    dark = colorsys.hsv_to_rgb(hue, of_group.uniform(0.3, 0.9), of_group.uniform(0.1, 0.35))
    light = colorsys.hsv_to_rgb(
        (hue + of_group.uniform(0.2, 0.8)) % 1, of_group.uniform(0.2, 0.7), of_group.uniform(0.75, 1)
    )
    colours = [[round(255 * part) for part in colour] for colour in (dark, light)]
    return colours[0], colours[1]
