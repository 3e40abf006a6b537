"""Where a network looked, drawn over the frames of a clip's segments."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tsn.pipeline.extract.ffmpeg_run import VideoError
from tsn.train.answers.prediction import describe, hint_at_time
from tsn.train.answers.predictor import Predictor
from tsn.train.answers.why import Why, explain
from tsn.train.pictures import drawn_text, new_figure, save_figure, short_name
from tsn.tsn_shared.console import printable, say
from tsn.tsn_shared.errors import PartialError, SettingsError
from tsn.tsn_shared.files import alone, writing

WAY_OUT = "set another --why"

COLUMNS = 5
"""Segments side by side."""

SHARE = 0.6
"""Of the colour of the highest place that is the map's; the rest is the frame's, in grey. Lower places have less."""


def draw_why(predictor: Predictor, videos: Sequence[str], out: Path, *, tell: Callable[[str], object]) -> None:
    """Draw where the network looked in a video, and `tell` its answer; PartialError where it fails."""
    if len(videos) != 1:
        raise SettingsError(f"--why {out}: {len(videos)} videos; name one")
    if out.suffix != ".png":
        raise SettingsError(f"--why {out}: it must end in .png")
    with alone(out, WAY_OUT):
        try:
            found = explain(predictor, Path(videos[0]))
        except VideoError as error:
            raise PartialError(f"{videos[0]}: {error}") from None
        with writing(out, WAY_OUT):
            draw_maps(found, out)
    tell(describe(found.answer))
    say(f"where it looked: {out}")
    hint_at_time([found.answer])


def draw_maps(why: Why, out: Path) -> None:
    """Draw the frames of an answer, and under each where the network looked in it, into a PNG."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    frames, answer = why.frames, why.answer
    columns = min(len(frames), COLUMNS)
    bands = -(-len(frames) // columns)
    width = max(2.6 * columns, 5)
    tall = width / columns * frames.shape[1] / frames.shape[2]
    figure = new_figure(width, bands * (2 * tall + 0.3) + 0.6)
    panels = figure.subplots(2 * bands, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    y, x, height, breadth = why.crop
    for place, (frame, heat, number) in enumerate(zip(frames, why.maps, why.numbers, strict=True)):
        band, column = divmod(place, columns)
        plain, shaded = panels[2 * band, column], panels[2 * band + 1, column]
        plain.imshow(frame)
        plain.set_title(f"frame {number} of {answer.frames}", fontsize=7)
        shaded.imshow(np.repeat(frame.mean(axis=2, keepdims=True), 3, axis=2) / 255)
        within = (x - 0.5, x + breadth - 0.5, y + height - 0.5, y - 0.5)
        shaded.imshow(heat, extent=within, cmap="turbo", vmin=0, vmax=1, alpha=SHARE * heat)
        shaded.set_xlim(-0.5, frame.shape[1] - 0.5)
        shaded.set_ylim(frame.shape[0] - 0.5, -0.5)
        shaded.add_patch(Rectangle((x, y), breadth, height, fill=False, edgecolor="#ffd92f", linewidth=1))
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), "turbo"), ax=panels.ravel().tolist(), shrink=0.6, pad=0.02)
    bar.set_ticks([0, 1], labels=["nothing", "most"], fontsize=7)
    bar.outline.set_visible(False)
    best, (rows, across) = answer.top[0], why.places
    looked = "red: what spoke for it, yellow: what it saw" if why.maps.any() else "nothing spoke for it"
    how = f"{looked} (Grad-CAM, {across}x{rows} places)"
    name = drawn_text(Path(answer.video).name)
    figure.suptitle(f"{name}\n{short_name(best.name)} {best.score:.1%}; {how}", fontsize=9)
    save_figure(figure, out, {"Source": printable(str(Path(answer.video).absolute()))})
