"""The CPU's finish: decoded crops to normalised floats, with torch in threads of the loader's own.

DALI's CPU resize costs ten times torch's for uint8, so on the CPU the graph stops at the decoded pictures and this
module does the rest: crop, resize (bilinear, half-pixel centres, no antialiasing), flip, normalise.

torch's uint8 resize rounds twice, after the rows and after the columns: against OpenCV's it is off by at most 1 of 255,
in training by 0.12 on average (real clips, input size 224). `exact` resizes in floats and rounds once, six times
slower: for evaluation, where most crops need no resize.
"""

import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from tsn.pipeline.loading.pixels import Pixels
from tsn.pipeline.loading.source import ClipPlan

KEPT = 4
"""Batches whose memory is kept for use again: one is in use, one is ready, one is being made, one is to spare."""

FRAMES_AT_ONCE = 4
"""Frames of a clip that go through torch at once: enough to make calls rare, few enough to stay in the cache."""

Picture = npt.NDArray[np.uint8]


class CpuFinish:
    """Finishes batches of B clips, T frames and K crops; each of its threads takes a clip at a time."""

    def __init__(self, shape: tuple[int, int, int], pixels: Pixels, *, exact: bool) -> None:
        input_size = pixels.input_size
        self._size, self._exact, self._threads = input_size, exact, pixels.threads
        self._memory = Memory((*shape, input_size, input_size, 3))
        self._pool = single_threads(pixels.threads)
        # one long row of pixels: torch's element-wise loops are fast over rows, slow over 3 channels
        std = torch.tensor(pixels.normalisation.std).repeat(input_size)
        self._scale = 1 / (255 * std)
        self._shift = -torch.tensor(pixels.normalisation.mean).repeat(input_size) / std

    def batch(self, pictures: Sequence[Picture], plan: ClipPlan, *, cropped: bool) -> torch.Tensor:
        """Return (B, T, K, H, W, 3) float32 of B * T pictures (h, w, 3), which are whole frames unless `cropped`."""
        clips, frames = plan.frame_indices.shape
        out = self._memory.lease()
        windows = plan.crops.copy()
        if cropped:
            windows[..., :2] = 0
        left = iter(range(clips))  # shared by the threads: a task a thread costs less than a task a clip

        def work() -> None:
            for clip in left:
                shown = pictures[clip * frames : (clip + 1) * frames]
                for crop, how in enumerate(zip(windows[clip].tolist(), plan.flips[clip].tolist(), strict=True)):
                    for start in range(0, frames, FRAMES_AT_ONCE):
                        part = slice(start, start + FRAMES_AT_ONCE)
                        self._write(shown[part], *how, out[clip, part, crop])

        for task in [self._pool.submit(work) for _ in range(self._threads)]:
            task.result()
        return out

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _write(self, pictures: Sequence[Picture], window: Sequence[int], flip: bool, out: torch.Tensor) -> None:
        """Write one crop of some pictures to `out`, (pictures, H, W, 3)."""
        size, (y, x, h, w) = self._size, window
        stacked = torch.stack([torch.from_numpy(picture[y : y + h, x : x + w]) for picture in pictures])
        pixels = stacked.permute(0, 3, 1, 2)  # this view keeps interpolate's channels-last path
        if (h, w) != (size, size):
            pixels = self._resized(pixels)
        if flip:
            pixels = pixels.flip(3)
        rows = pixels.permute(0, 2, 3, 1).reshape(-1, size, size * 3)
        torch.addcmul(self._shift, rows, self._scale, out=out.view(rows.shape))

    def _resized(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._exact:
            pixels = pixels.float()
        size = (self._size, self._size)
        pixels = interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=False)
        return pixels.round_() if self._exact else pixels


class Memory:
    """Memory for batches that comes back when the last tensor on it is gone.

    Fresh memory for every batch would cost more than the whole finish: the kernel clears it page by page.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._free: deque[npt.NDArray[np.float32]] = deque(maxlen=KEPT)

    def lease(self) -> torch.Tensor:
        """Return an uninitialised float32 tensor."""
        try:
            block = self._free.pop()
        except IndexError:
            block = np.empty(self._shape, dtype=np.float32)
        lease = block.view()  # torch's storage holds this very object until no tensor needs it
        weakref.finalize(lease, self._free.append, block).atexit = False
        return torch.from_numpy(lease)


def single_threads(count: int) -> ThreadPoolExecutor:
    """Return a pool whose threads run each torch operation alone, whatever the other threads of the process do.

    torch.set_num_threads holds for the calling thread and those that start later, so the caller's is set again. A
    thread takes the process's number when it first asks, which would undo what was set before: so it asks first.
    """
    ready = Barrier(count + 1)

    def start() -> None:
        torch.get_num_threads()
        torch.set_num_threads(1)
        ready.wait()

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, thread_name_prefix="tsn-finish", initializer=start)
    tasks = [pool.submit(int) for _ in range(count)]
    ready.wait()
    torch.set_num_threads(before)
    for task in tasks:
        task.result()
    return pool
