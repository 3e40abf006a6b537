"""The same clips served in the ways of others: each way is written here anew, from what it is known to do.

Every way gives endless batches of normalised float32 (B, S, 3, 224, 224) in RGB from the same frames, crops and flips;
the draws are made beforehand, so what is measured is reading, decoding and finishing.
"""

import importlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import TrainSchedule
from tsn.pipeline.loading.source import plan_clips
from tsn.tsn_shared.augment import MEAN, STD
from tsn.tsn_shared.splits import read_split
from tsn.tsn_shared.views import VIEWS

SIZE = 224
cv: Any = cv2


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is served: `frames` of a split, the same frames as files below `files`, the videos, and how many at once."""

    frames: Path
    split: Path
    files: Path
    videos: Path
    batch_size: int
    segments: int
    cores: int


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip's name, frame numbers, crop (y, x, h, w) and flip."""

    name: str
    indices: list[int]
    crop: tuple[int, int, int, int]
    flip: bool


def train_frames(job: Job) -> FrameReader:
    """Return the frames of the training clips."""
    return FrameReader(read_split(job.split), "train", job.frames, view=VIEWS["train"], segments=job.segments)


def planned(job: Job, epochs: int = 20) -> list[Clip]:
    """Return the training clips of some epochs, as the loader's own schedule and draws have them."""
    split = read_split(job.split)
    clips = split.train
    reader = train_frames(job)
    schedule = TrainSchedule(num_clips=len(clips), batch_size=epochs * len(clips), seed=0)
    batch = schedule.batch(0)
    sizes = [reader.frame_size(row) for row in range(len(clips))]
    height, width = (np.array(side)[batch.rows] for side in zip(*sizes, strict=True))
    plan = plan_clips(batch, clips, height=height, width=width, view=VIEWS["train"], segments=job.segments, seed=0)
    names = split.names("train", slice(None))
    return [
        Clip(name=names[row], indices=indices, crop=tuple(crop), flip=flip)
        for row, indices, crop, flip in zip(
            batch.rows.tolist(),
            plan.frame_indices.tolist(),
            plan.crops[:, 0].tolist(),
            plan.flips[:, 0].tolist(),
            strict=True,
        )
    ]


class Clips(Dataset[Any]):
    """A map-style data set: `load` makes a clip."""

    def __init__(self, clips: list[Clip], load: Callable[[Clip], Any]) -> None:
        self._clips, self._load = clips, load

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> Any:
        return self._load(self._clips[index])


def served(job: Job, load: Callable[[Clip], Any]) -> Iterator[Any]:
    """Serve through torch's DataLoader: a worker a core; on one core in the process itself."""
    workers = job.cores if job.cores > 1 else 0
    more: dict[str, Any] = {"persistent_workers": True} if workers else {}
    loader = DataLoader(
        Clips(planned(job), load), batch_size=job.batch_size, num_workers=workers, drop_last=True, **more
    )
    while True:
        yield from loader


def gluoncv(job: Job) -> Iterator[Any]:
    """JPEG files of the video's own size, OpenCV and NumPy: each transform goes frame by frame to new arrays."""
    mean, std = (np.array(values, dtype=np.float32)[:, None, None] for values in (MEAN, STD))

    def load(clip: Clip) -> Any:
        y, x, h, w = clip.crop
        frames = []
        for index in clip.indices:
            frame = cv.cvtColor(cv.imread(str(file_of(job, clip, index, native=True))), cv.COLOR_BGR2RGB)
            frames.append(cv.resize(frame, (340, 256), interpolation=cv.INTER_LINEAR))
        frames = [cv.resize(f[y : y + h, x : x + w], (SIZE, SIZE), interpolation=cv.INTER_LINEAR) for f in frames]
        if clip.flip:
            frames = [np.ascontiguousarray(np.fliplr(frame)) for frame in frames]
        arrays = [frame.transpose(2, 0, 1).astype(np.float32) / 255 for frame in frames]
        return np.stack([(array - mean) / std for array in arrays])

    return served(job, load)


def mmaction2(job: Job) -> Iterator[Any]:
    """JPEG files, libjpeg-turbo, a fused crop, resize and flip in OpenCV; uint8 batches, normalised in the model."""
    import simplejpeg

    mean, std = (255 * torch.tensor(values)[:, None, None] for values in (MEAN, STD))

    def load(clip: Clip) -> Any:
        y, x, h, w = clip.crop
        frames = []
        for index in clip.indices:
            frame = simplejpeg.decode_jpeg(file_of(job, clip, index).read_bytes(), colorspace="RGB")
            frame = cv.resize(frame[y : y + h, x : x + w], (SIZE, SIZE), interpolation=cv.INTER_LINEAR)
            frames.append(cv.flip(frame, 1) if clip.flip else frame)
        return np.ascontiguousarray(np.stack(frames).transpose(0, 3, 1, 2))

    for batch in served(job, load):
        yield batch.float().sub_(mean).div_(std)


def torchvision_v2(job: Job) -> Iterator[Any]:
    """JPEG files and torchvision: its own decoder, transforms v2 on uint8 tensors, then to float and normalised."""
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from torchvision.transforms.v2 import functional as v2

    def load(clip: Clip) -> Any:
        y, x, h, w = clip.crop
        files = [read_file(str(file_of(job, clip, index))) for index in clip.indices]
        frames = torch.stack(decode_jpeg(files, mode=ImageReadMode.RGB))
        frames = v2.resized_crop(frames, y, x, h, w, [SIZE, SIZE], antialias=False)
        if clip.flip:
            frames = v2.horizontal_flip(frames)
        return v2.normalize(v2.to_dtype(frames, torch.float32, scale=True), list(MEAN), list(STD))

    return served(job, load)


def decord(job: Job) -> Iterator[Any]:
    """From the videos, with decord."""
    import decord

    def frames(path: str, indices: list[int]) -> list[Any]:
        reader = decord.VideoReader(path, width=340, height=256, num_threads=1)
        return list(reader.get_batch(np.minimum(indices, len(reader) - 1).tolist()).asnumpy())

    return served(job, from_video(job, frames))


def pyav(job: Job) -> Iterator[Any]:
    """From the videos, with PyAV: the frames wanted are picked from a decoding of all up to the last."""
    import av

    def frames(path: str, indices: list[int]) -> list[Any]:
        wanted, found = set(indices), {}
        with av.open(path) as container:
            container.streams.video[0].thread_type = "NONE"
            for number, frame in enumerate(container.decode(video=0)):
                if number in wanted:
                    found[number] = frame.to_ndarray(format="rgb24")
                if number >= max(indices):
                    break
        return [cv.resize(found[index], (340, 256)) for index in indices]

    return served(job, from_video(job, frames))


def torchcodec(job: Job) -> Iterator[Any]:
    """From the videos, with torchcodec, seeking approximately."""
    decoders: Any = importlib.import_module("torchcodec.decoders")

    def frames(path: str, indices: list[int]) -> list[Any]:
        decoder = decoders.VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")
        last = (decoder.metadata.num_frames or 1) - 1
        batch = decoder.get_frames_at([min(index, last) for index in indices])
        return [cv.resize(frame, (340, 256)) for frame in batch.data.numpy()]

    return served(job, from_video(job, frames))


def from_video(job: Job, frames: Callable[[str, list[int]], list[Any]]) -> Callable[[Clip], Any]:
    """Return a loader of clips from videos, given how frames (256, 340, 3) are read."""
    scale = torch.tensor(STD)
    shift = torch.tensor(MEAN)

    def load(clip: Clip) -> Any:
        y, x, h, w = clip.crop
        pixels = [
            cv.resize(frame[y : y + h, x : x + w], (SIZE, SIZE))
            for frame in frames(f"{job.videos}/{clip.name}.avi", clip.indices)
        ]
        if clip.flip:
            pixels = [cv.flip(frame, 1) for frame in pixels]
        batch = torch.from_numpy(np.stack(pixels)).float().div_(255)
        return batch.sub_(shift).div_(scale).permute(0, 3, 1, 2)

    return load


def turbo_alone(job: Job) -> Iterator[Any]:
    """Only decode: whole frames from memory by libjpeg-turbo, a thread a core. No way that decodes these is faster."""
    import simplejpeg

    clips = planned(job, epochs=1)
    data = [[file_of(job, clip, index).read_bytes() for index in clip.indices] for clip in clips]

    def decode(jpegs: list[bytes]) -> list[Any]:
        return [simplejpeg.decode_jpeg(jpeg, colorspace="RGB") for jpeg in jpegs]

    with ThreadPoolExecutor(job.cores) as pool:
        while True:
            for start in range(0, len(data) - job.batch_size + 1, job.batch_size):
                yield list(pool.map(decode, data[start : start + job.batch_size]))


def dali_alone(job: Job) -> Iterator[Any]:
    """Only decode: DALI's `image_slice` of the crops from memory."""
    from nvidia.dali import Pipeline, fn, types

    clips = planned(job, epochs=4)
    data = {(c.name, i): np.fromfile(file_of(job, c, i), dtype=np.uint8) for c in clips for i in c.indices}
    batches = [clips[start : start + job.batch_size] for start in range(0, len(clips), job.batch_size)]
    flat = [
        (
            [data[clip.name, index] for clip in batch for index in clip.indices],
            np.array([clip.crop[:2] for clip in batch for _ in clip.indices], dtype=np.int32),
            np.array([clip.crop[2:] for clip in batch for _ in clip.indices], dtype=np.int32),
        )
        for batch in batches
        if len(batch) == job.batch_size
    ]
    number = iter(range(1 << 60))
    pipe = Pipeline(batch_size=job.batch_size * job.segments, num_threads=job.cores, device_id=None)
    with pipe:
        jpeg, start, shape = fn.external_source(lambda: flat[next(number) % len(flat)], num_outputs=3)
        pipe.set_outputs(fn.decoders.image_slice(jpeg, start, shape, axes=[0, 1], output_type=types.RGB))
    pipe.build()
    while True:
        yield pipe.run()


def file_of(job: Job, clip: Clip, index: int, *, native: bool = False) -> Path:
    """Return the file of a frame: as in the shards, or of the video's own size; named as GluonCV and MMAction2 do."""
    return job.files / ("native" if native else "stored") / clip.name / f"img_{index + 1:05d}.jpg"


def write_files(job: Job) -> None:
    """Write the frames of all training clips as JPEG files, and the list of the clips, as those without shards do."""
    split = read_split(job.split)
    reader, clips = train_frames(job), split.train
    lines = []
    for row, name in enumerate(split.names("train", slice(None))):
        clip = Clip(name=name, indices=[], crop=(0, 0, 0, 0), flip=False)
        for native in (False, True):
            file_of(job, clip, 0, native=native).parent.mkdir(parents=True)
        video, count = cv.VideoCapture(f"{job.videos}/{name}.avi"), int(clips.frames[row])
        for index in range(count):
            there, picture = video.read()
            file_of(job, clip, index).write_bytes(reader.jpeg(row, index).tobytes())
            native_picture = picture if there else np.zeros((240, 320, 3), dtype=np.uint8)
            cv.imwrite(str(file_of(job, clip, index, native=True)), native_picture)
        lines.append(f"{name} {count} {int(clips.label[row])}\n")
    (job.files / "list.txt").write_text("".join(lines))
