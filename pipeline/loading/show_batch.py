"""`tsn show-batch`: the very clips that the network sees at a step, as a picture for a person or as arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image, ImageDraw

from tsn.pipeline.jpeg import decode_jpeg
from tsn.pipeline.loading.loader import Batch, ClipLoader
from tsn.pipeline.loading.pixels import Pixels, torch_device
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import EvalSchedule, Schedule, check_batch, first_step, train_schedule
from tsn.tsn_shared.console import printable, say
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.files import alone, replacing, writing
from tsn.tsn_shared.fonts import length_of, write_on
from tsn.tsn_shared.normalisation import Normalisation
from tsn.tsn_shared.settings import ShowBatchSettings
from tsn.tsn_shared.splits import Split, Subset, open_split
from tsn.tsn_shared.views import VIEWS

MOST_BYTES = 4 << 30
"""Bytes of a batch of pictures that are shown, as floats."""

EPOCHS = 2**32
"""Epochs that draws tell apart."""

GAP, LINE, TEXT = 6, 20, 14
"""Pixels between pictures, of a line of text, and of its letters."""

IN_A_COLUMN, MOST_COLUMNS = 8, 3
"""Clips under each other, of which more make another column, and the most columns: 25 clips are about a square."""

SMALLEST = 112
"""Pixels that a picture has at least."""


def show_batch(settings: ShowBatchSettings) -> None:
    """Write the batch of a rank at a step of an epoch to `settings.out`, a .png or .npz file.

    The training step is counted from the epoch's first; of val and test clips, the same in every epoch, padding is left
    out. SettingsError for another kind of file, or where there is no such rank, step or device.
    """
    out, rank, world_size, step = settings.out, settings.rank, settings.world_size, settings.step
    subset = cast("Subset", settings.subset)
    if out.suffix not in (".png", ".npz"):
        raise SettingsError(f"--out {out}: it must end in .png or .npz")
    if rank >= world_size:
        raise SettingsError(f"--rank {rank}: of --world-size {world_size} the last rank is {world_size - 1}")
    way_out = "set another --out"
    device = torch_device(settings.device)
    pixels = Pixels(input_size=settings.input_pixels, normalisation=settings.normalisation, device=device)
    split = open_split(settings)
    schedule = _schedule(split, subset, settings)
    view = VIEWS["train" if subset == "train" else "val"]
    reader = FrameReader(split, subset, settings.frames, view=view, snippets=settings.snippets, seed=settings.seed)
    with ClipLoader(reader, schedule, pixels) as loader:
        batch = next(loader)
        names = split.names(subset, batch.plan.rows)
        with alone(out, way_out), writing(out, way_out):
            if out.suffix == ".npz":
                _write_arrays(out, batch, names)
            else:
                when = f"epoch {settings.epoch}, " if subset == "train" else ""
                where = f"{split.path.stem}, {subset}, {when}step {step}"
                title = f"{where}, rank {rank} of {world_size}, seed {settings.seed}"
                _write_picture(out, title, batch, reader, pixels.normalisation)
    say(f"{int(batch.plan.valid.sum())} clips of {settings.snippets.frames} frames: {out}")


def _schedule(split: Split, subset: Subset, settings: ShowBatchSettings) -> Schedule:
    """Return a schedule that starts at the step."""
    clips, per_step = len(split.clips_of(subset)), settings.batch_size * settings.world_size
    if settings.epoch >= EPOCHS:
        raise SettingsError(f"--epoch {settings.epoch}: it must be less than {EPOCHS}")
    size = 4 * settings.batch_size * settings.snippets.frames * 3 * max(settings.input_pixels, SMALLEST) ** 2
    if size > MOST_BYTES:
        raise SettingsError(
            f"{settings.batch_size} clips of {settings.snippets.frames} frames at {settings.input_pixels} pixels are "
            f"{size >> 30:,} GiB, more than the {MOST_BYTES >> 30} that are shown: "
            "lower --batch-size, --num-segments or --input-size"
        )
    if subset == "train":
        check_batch(num_clips=clips, clips_per_step=per_step, split=str(split.path))
        first = first_step(settings.epoch, num_clips=clips, clips_per_step=per_step)
        steps = first_step(settings.epoch + 1, num_clips=clips, clips_per_step=per_step) - first
    else:
        first, steps = 0, -(-clips // per_step)
    step = settings.step
    if step >= steps:
        raise SettingsError(f"--step {step}: the {clips} {subset} clips of {split.path} make {steps} steps, from 0")
    if subset != "train" and step * per_step + settings.rank * settings.batch_size >= clips:
        raise SettingsError(f"--rank {settings.rank}: step {step} has no clip left for it, only padding")
    ranks = {"rank": settings.rank, "world_size": settings.world_size}
    if subset == "train":
        return train_schedule(split.train, settings, **ranks, start=(first + step) * per_step)
    return EvalSchedule(num_clips=clips, batch_size=settings.batch_size, **ranks, first=step)


def _write_arrays(out: Path, batch: Batch, names: Sequence[str]) -> None:
    plan, valid = batch.plan, batch.plan.valid
    with replacing(out) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            clips=batch.clips.float().cpu().contiguous().numpy()[valid],
            labels=plan.labels[valid],
            names=np.array(names)[valid],
            frame_indices=plan.frame_indices[valid],
            crops=plan.crops[valid, 0],
            flips=plan.flips[valid, 0],
        )


def _write_picture(out: Path, title: str, batch: Batch, reader: FrameReader, normalisation: Normalisation) -> None:
    plan, classes = batch.plan, reader.split.classes
    names = reader.split.names(reader.subset, plan.rows)
    rows = []
    for clip in np.flatnonzero(plan.valid).tolist():
        crop, flip = plan.crops[clip, 0].tolist(), bool(plan.flips[clip, 0])
        y, x, h, w = crop
        video = printable(names[clip].rpartition("/")[2])
        text = (
            f"{printable(classes[plan.labels[clip]])}   {video}   {w}x{h} at x {x}, y {y}{', flipped' if flip else ''}"
        )
        indices, count = plan.frame_indices[clip].tolist(), reader.clips.frames[plan.rows[clip]]
        whole = Image.fromarray(decode_jpeg(reader.jpeg(int(plan.rows[clip]), indices[0])))
        shown = _pictures(batch.clips[clip], normalisation)
        below = [f"frame {indices[0]} of {count}, whole", *(f"frame {index}" for index in indices)]
        rows.append(_row(text, [_with_crop(whole, crop, shown[0].height), *shown], below))
    down = -(-len(rows) // min(-(-len(rows) // IN_A_COLUMN), MOST_COLUMNS))
    width, height = (max(sides) for sides in zip(*(row.size for row in rows), strict=True))
    size = (-(-len(rows) // down) * (width + GAP) + GAP, down * height + LINE + 2 * GAP)
    sheet = Image.new("RGB", size, "white")
    write_on(sheet, (GAP, GAP), title, size=TEXT)
    for place, row in enumerate(rows):
        sheet.paste(row, (GAP + place // down * (width + GAP), GAP + LINE + place % down * height))
    with replacing(out) as temporary:
        sheet.save(temporary, "PNG")


def _row(text: str, pictures: Sequence[Image.Image], below: Sequence[str]) -> Image.Image:
    """Draw a clip: a line of text, its pictures side by side, and a line under each."""
    width = sum(picture.width + GAP for picture in pictures)
    wanted = length_of(text, size=TEXT) + GAP
    row = Image.new("RGB", (max(width, wanted), pictures[0].height + 2 * LINE + GAP), "white")
    write_on(row, (0, 0), text, size=TEXT)
    left = 0
    for picture, words in zip(pictures, below, strict=True):
        row.paste(picture, (left, LINE))
        write_on(row, (left, LINE + picture.height), words, size=TEXT)
        left += picture.width + GAP
    return row


def _with_crop(frame: Image.Image, crop: Sequence[int], height: int) -> Image.Image:
    """Return the frame at this height with the crop's outline in it."""
    scale = height / frame.height
    frame = frame.resize((max(round(frame.width * scale), 1), height))
    y, x, h, w = (round(edge * scale) for edge in crop)
    pen = ImageDraw.Draw(frame)
    pen.rectangle((x, y, x + w - 1, y + h - 1), outline="black", width=4)
    pen.rectangle((x + 1, y + 1, x + w - 2, y + h - 2), outline="yellow", width=2)
    return frame


def _pictures(clip: torch.Tensor, normalisation: Normalisation) -> list[Image.Image]:
    """Undo the normalisation of a clip, (S, 3, H, W); small frames are enlarged to hold a line of text."""
    mean, std = torch.tensor(normalisation.mean), torch.tensor(normalisation.std)
    pixels = clip.detach().float().cpu().permute(0, 2, 3, 1) * std + mean
    frames = [Image.fromarray(frame) for frame in (pixels * 255).round().clamp(0, 255).byte().numpy()]
    zoom = -(-SMALLEST // clip.shape[-1])
    return [frame.resize((frame.width * zoom, frame.height * zoom), Image.Resampling.NEAREST) for frame in frames]
