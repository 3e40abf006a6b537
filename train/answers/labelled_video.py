"""A video with the labels of its timeline drawn in by ffmpeg, its sound kept, as an .mp4."""

import io
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from tsn.pipeline.extract.ffmpeg_command import CONTAINERS
from tsn.pipeline.extract.ffmpeg_run import Limits, Output, never, open_video, running
from tsn.train.answers.over_time import Timeline
from tsn.train.answers.timeline import Segment
from tsn.train.answers.timeline_text import clock, shown_as_is
from tsn.tsn_shared.console import Progress
from tsn.tsn_shared.errors import TsnError
from tsn.tsn_shared.files import replacing
from tsn.tsn_shared.fonts import family_of, fonts_for, runs

HEIGHT, LETTERS = 288, 18
"""Lines that a picture of any size is taken to have, and those of a label's letters."""

QUALITY = {"vcodec": "libx264", "preset": "veryfast", "crf": 20, "pix_fmt": "yuv420p", "acodec": "aac"}


def write_labelled(timeline: Timeline, out: Path) -> None:
    """Write a timeline's video to `out` with the class and the score of each segment in its lower left corner.

    The video is decoded once more for it. TsnError where ffmpeg cannot make it.
    """
    fonts = fonts_for("".join(segment.name for segment in timeline.segments))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tsn-")))
        for number, font in enumerate(fonts):
            (folder / f"{number}{font.suffix}").symlink_to(font)
        labels = folder / "labels.ass"
        labels.write_text(ass(timeline.segments, fonts), encoding="utf-8")
        video = stack.enter_context(open_video(Path(timeline.video)))
        temporary = stack.enter_context(replacing(out))
        process = stack.enter_context(running(_command(video, labels, temporary), [video], Limits()))
        output = Output(process, never, Limits())
        with Progress("labels", total=round(timeline.seconds), unit="second") as progress:
            done = 0
            for line in io.BufferedReader(output):
                name, _, value = line.strip().partition(b"=")
                if name == b"out_time_us" and value.isdigit():
                    seconds = min(int(value) // 10**6, round(timeline.seconds))
                    progress.advance(max(seconds - done, 0))
                    done = max(done, seconds)
        status = output.finish()
        if status or not temporary.stat().st_size:
            why = str(output.errors) or f"ffmpeg ended with code {status}"
            raise TsnError(f"{out} was not written: {why}")


def ass(segments: Sequence[Segment], fonts: Sequence[Path]) -> str:
    """Return segments as Advanced SubStation subtitles, each piece of a name in the first font that shows it."""
    families = {font: family_of(font) for font in fonts}
    style = "Style: tsn,{},{},&H00FFFFFF,&H60000000,&H60000000,3,2,0,1,8,8,8"
    lines = [
        "[Script Info]",
        "ScriptType: v4.00+",
        f"PlayResY: {HEIGHT}",
        "[V4+ Styles]",
        "Format: Name, Fontname, Fontsize, PrimaryColour, OutlineColour, BackColour, BorderStyle, Outline, Shadow, "
        "Alignment, MarginL, MarginR, MarginV",
        style.format(families[fonts[0]], LETTERS),
        "[Events]",
        "Format: Start, End, Style, Text",
    ]
    for segment in segments:
        text = f"{segment.name}  {segment.score:.0%}"
        drawn = "".join(f"{{\\fn{families[font]}}}{_escaped(piece)}" for font, piece in runs(text, fonts))
        lines.append(f"Dialogue: {clock(segment.start, digits=2)},{clock(segment.end, digits=2)},tsn,{drawn}")
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    return shown_as_is(text).replace("{", "\\{")


def _command(video: int, labels: Path, out: Path) -> list[str]:
    source = ffmpeg.input("fd:", fd=video, protocol_whitelist="fd", format_whitelist=CONTAINERS)
    labelled = source["V:0"].filter("subtitles", filename=str(labels), fontsdir=str(labels.parent), wrap_unicode=1)
    even = labelled.filter("pad", "ceil(iw/2)*2", "ceil(ih/2)*2")
    how = {"format": "mp4", "movflags": "+faststart", "fps_mode": "passthrough", **QUALITY}
    output = ffmpeg.output(even, source["a?"], f"file:{out.absolute()}", **how)
    words = output.global_args("-hide_banner", "-nostats", "-loglevel", "repeat+level+error", "-progress", "pipe:1")
    return list(words.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe()))
