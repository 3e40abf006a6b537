"""An independent loader: what a clip must be, from the rules, with NumPy and OpenCV and no code of the loader's.

Loops over plain numbers, h5py for reading, OpenCV for decoding and resizing. Slow and simple on purpose.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import numpy.typing as npt

MASK = 0xFFFFFFFF
RATIOS = (1, 0.875, 0.75, 0.66)
STEPS = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (1, 3), (3, 1), (3, 3))
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip: its name and label, frame numbers (S,), K crops as (y, x, h, w), K flips, pixels (S * K, 3, H, W)."""

    name: str
    label: int
    frame_indices: list[int]
    crops: list[tuple[int, int, int, int]]
    flips: list[bool]
    pixels: npt.NDArray[np.float64]
    """From 0 to 255, before normalising; whole numbers."""

    @property
    def normalised(self) -> npt.NDArray[np.float64]:
        """The pixels as the network takes them."""
        return np.asarray((self.pixels / 255 - MEAN[:, None, None]) / STD[:, None, None])


def clip(
    frames: Path, split: Path, subset: str, row: int, *, view: str, segments: int, size: int, seed: int, epoch: int
) -> Clip:
    """Compute one clip of a subset."""
    with h5py.File(split) as file:
        table = {name: file[subset][name][row] for name in ("name", "label", "shard", "video", "frames")}
        shard = frames / file["shard/name"][table["shard"]].decode()
    count = int(table["frames"])
    with h5py.File(shard) as file:
        first = int(file["video/first_frame"][table["video"]])
        height, width = int(file["video/height"][table["video"]]), int(file["video/width"][table["video"]])
        draws = [philox((row, epoch, slot // 4, 1), seed)[slot % 4] for slot in range(3 + segments)]
        indices = frame_indices(view, count, segments, draws[3:])
        pictures = [_decoded(file, first + index) for index in indices]
    boxes = boxes_of(view, height, width, draws)
    pixels = [
        _resized(picture[y : y + h, x : x + w], size, flip) for picture in pictures for (y, x, h, w), flip in boxes
    ]
    return Clip(
        name=table["name"].decode(),
        label=int(table["label"]),
        frame_indices=indices,
        crops=[box for box, _ in boxes],
        flips=[flip for _, flip in boxes],
        pixels=np.stack(pixels).transpose(0, 3, 1, 2).astype(np.float64),
    )


def philox(counter: tuple[int, int, int, int], seed: int) -> list[int]:
    """Philox4x32-10 in Python's integers, from the paper's definition."""
    a, b, c, d = counter
    low, high = seed & MASK, seed >> 32 & MASK
    for _ in range(10):
        left, right = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = (right >> 32) ^ b ^ low, right & MASK, (left >> 32) ^ d ^ high, left & MASK
        low, high = (low + 0x9E3779B9) & MASK, (high + 0xBB67AE85) & MASK
    return [a, b, c, d]


def frame_indices(view: str, count: int, segments: int, draws: list[int]) -> list[int]:
    """Choose frames by the rules of segment sampling, for snippets of one frame."""
    if view == "train":
        average = count // segments
        return [i * average + (draws[i] * average >> 32) for i in range(segments)]
    if view == "val" and count <= segments:
        return [0] * segments
    tick = count / segments
    return [int(tick / 2 + tick * i) for i in range(segments)]


def boxes_of(view: str, height: int, width: int, draws: list[int]) -> list[tuple[tuple[int, int, int, int], bool]]:
    """Choose crops and flips."""
    short = min(height, width)
    edge = int(short * 224 / 256)
    down, right = height - edge, width - edge
    if view == "train":
        edges = [int(short * ratio) for ratio in RATIOS]
        sizes = [(h, w) for i, h in enumerate(edges) for j, w in enumerate(edges) if abs(i - j) <= 1]
        h, w = sizes[draws[0] * 10 >> 32]
        dy, dx = STEPS[draws[1] * 13 >> 32]
        return [((dy * ((height - h) // 4), dx * ((width - w) // 4), h, w), draws[2] >= 1 << 31)]
    if view == "val":
        return [((round(down / 2), round(right / 2), edge, edge), False)]
    if view == "3crop":
        return [((0, x, height, height), False) for x in (0, (width - height) // 2, width - height)]
    five = [(down // 2, right // 2), (0, 0), (0, right), (down, 0), (down, right)]
    return [((y, x, edge, edge), flip) for flip in (False, True) for y, x in five]


def _decoded(file: Any, frame: int) -> npt.NDArray[np.uint8]:
    start, stop = file["frame/offset"][frame : frame + 2]
    picture = cv2.imdecode(file["jpeg"][start:stop], cv2.IMREAD_COLOR_RGB)
    return np.asarray(picture, dtype=np.uint8)


def _resized(picture: npt.NDArray[np.uint8], size: int, flip: bool) -> npt.NDArray[np.uint8]:
    resized = np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return resized[:, ::-1] if flip else resized
