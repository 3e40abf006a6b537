"""The same clips served in the ways of others: each way is written here anew, from what it is known to do.

Every way gives endless batches of normalised float32 (B, S, 3, 224, 224) in RGB from the same frames, crops and flips;
the draws are made beforehand, so what is measured is reading, decoding and finishing.
"""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, default_collate

from tsn.pipeline.extract.videos import find_videos
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import TrainSchedule
from tsn.pipeline.loading.source import plan_clips
from tsn.tsn_shared.normalisation import MEAN, STD
from tsn.tsn_shared.splits import read_split
from tsn.tsn_shared.views import VIEWS, Snippets

if importlib.util.find_spec("cv2") is None:
    raise SystemExit("OpenCV is missing: pip install '.[bench]' in the checkout")
cv: Any = importlib.import_module("cv2")

SIZE, STORED = 224, (340, 256)


class Job(NamedTuple):
    """What is served, with its paths as text: `frames` of a split, the same as files below `files`, and the videos."""

    frames: str
    split: str
    videos: str
    files: str
    batch_size: int = 25
    segments: int = 3
    cores: int = 1


class Clip(NamedTuple):
    """A clip's name, frame numbers, crop (y, x, h, w) and flip."""

    name: str
    indices: list[int]
    crop: tuple[int, int, int, int]
    flip: bool


def train_frames(job: Job) -> FrameReader:
    """Return the frames of the training clips."""
    split = read_split(Path(job.split))
    return FrameReader(split, "train", Path(job.frames), view=VIEWS["train"], snippets=Snippets(segments=job.segments))


def planned(job: Job, epochs: int = 20) -> list[Clip]:
    """Return the training clips of some epochs, as the loader's own schedule and draws have them."""
    reader = train_frames(job)
    clips, names = reader.clips, reader.split.names("train")
    batch = TrainSchedule(num_clips=len(clips), batch_size=epochs * len(clips), seed=0).batch(0)
    sizes = [reader.frame_size(row) for row in range(len(clips))]
    height, width = (np.array(side)[batch.rows] for side in zip(*sizes, strict=True))
    plan = plan_clips(batch, clips, height=height, width=width, view=reader.view, snippets=reader.snippets, seed=0)
    columns = (plan.frame_indices.tolist(), plan.crops[:, 0].tolist(), plan.flips[:, 0].tolist())
    return [Clip(names[row], *drawn) for row, *drawn in zip(batch.rows.tolist(), *columns, strict=True)]


def served(job: Job, load: Callable[[Clip], Any]) -> Iterator[Any]:
    """Serve through torch's DataLoader: a worker a core; on one core in the process itself."""
    workers = job.cores if job.cores > 1 else 0
    how: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0, "drop_last": True}
    how["collate_fn"] = lambda clips: default_collate([load(clip) for clip in clips])
    loader: DataLoader[Any] = DataLoader(planned(job), batch_size=job.batch_size, **how)  # type: ignore[arg-type]
    while True:
        yield from loader


def mmaction2(job: Job) -> Iterator[Any]:
    """JPEG files, libjpeg-turbo, a fused crop, resize and flip in OpenCV; uint8 batches, normalised in the model."""
    import simplejpeg

    mean, std = (255 * torch.tensor(values)[:, None, None] for values in (MEAN, STD))

    def load(clip: Clip) -> Any:
        files = (file_of(job, clip, index).read_bytes() for index in clip.indices)
        frames = cut([simplejpeg.decode_jpeg(file, colorspace="RGB") for file in files], clip)
        return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))

    for batch in served(job, load):
        yield batch.float().sub_(mean).div_(std)


def cut(frames: list[Any], clip: Clip) -> Any:
    """Crop, resize and flip a clip's frames with OpenCV: uint8 (S, 224, 224, 3)."""
    y, x, h, w = clip.crop
    frames = [cv.resize(frame[y : y + h, x : x + w], (SIZE, SIZE)) for frame in frames]
    return np.stack([cv.flip(frame, 1) for frame in frames] if clip.flip else frames)


def torchvision_v2(job: Job) -> Iterator[Any]:
    """JPEG files and torchvision: its own decoder, transforms v2 on uint8 tensors, then to float and normalised."""
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from torchvision.transforms.v2 import functional as v2

    def load(clip: Clip) -> Any:
        files = [read_file(str(file_of(job, clip, index))) for index in clip.indices]
        frames = torch.stack(decode_jpeg(files, mode=ImageReadMode.RGB))
        frames = v2.resized_crop(frames, *clip.crop, [SIZE, SIZE], antialias=False)
        if clip.flip:
            frames = v2.horizontal_flip(frames)
        return v2.normalize(v2.to_dtype(frames, torch.float32, scale=True), list(MEAN), list(STD))

    return served(job, load)


def video_paths(job: Job) -> dict[str, str]:
    """Return the file of each video by its name in the shards."""
    return {video.name: str(video.path) for video in find_videos(Path(job.videos)).videos}


def from_video(job: Job, frames: Callable[[str, list[int]], list[Any]]) -> Iterator[Any]:
    """Serve clips from the videos, given how frames (256, 340, 3) are read."""
    shift, scale, paths = torch.tensor(MEAN), torch.tensor(STD), video_paths(job)

    def load(clip: Clip) -> Any:
        batch = torch.from_numpy(cut(frames(paths[clip.name], clip.indices), clip)).float().div_(255)
        return batch.sub_(shift).div_(scale).permute(0, 3, 1, 2)

    return served(job, load)


def decord(job: Job) -> Iterator[Any]:
    """From the videos, with decord."""
    import decord

    def frames(path: str, indices: list[int]) -> list[Any]:
        reader = decord.VideoReader(path, width=STORED[0], height=STORED[1], num_threads=1)
        return list(reader.get_batch(np.minimum(indices, len(reader) - 1).tolist()).asnumpy())

    return from_video(job, frames)


def torchcodec(job: Job) -> Iterator[Any]:
    """From the videos, with torchcodec, seeking approximately."""
    decoders: Any = importlib.import_module("torchcodec.decoders")

    def frames(path: str, indices: list[int]) -> list[Any]:
        decoder = decoders.VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")
        last = (decoder.metadata.num_frames or 1) - 1
        batch = decoder.get_frames_at([min(index, last) for index in indices])
        return [cv.resize(frame, STORED) for frame in batch.data.numpy()]

    return from_video(job, frames)


def file_of(job: Job, clip: Clip, index: int, *, native: bool = False) -> Path:
    """Return the file of a frame: as in the shards, or of the video's own size; named as GluonCV and MMAction2 do."""
    return Path(job.files) / ("native" if native else "stored") / clip.name / f"img_{index + 1:05d}.jpg"


def write_files(job: Job) -> None:
    """Write the frames of all training clips as JPEG files, and the list of the clips, as those without shards do."""
    reader, lines, paths = train_frames(job), [], video_paths(job)
    for row, name in enumerate(reader.split.names("train")):
        clip = Clip(name, [], (0, 0, 0, 0), flip=False)
        (Path(job.files) / "native" / name).mkdir(parents=True)
        (Path(job.files) / "stored" / name).mkdir(parents=True)
        video, count = cv.VideoCapture(paths[name]), int(reader.clips.frames[row])
        for index in range(count):
            there, picture = video.read()
            file_of(job, clip, index).write_bytes(reader.jpeg(row, index).tobytes())
            decoded = picture if there else np.zeros((240, 320, 3), dtype=np.uint8)
            cv.imwrite(str(file_of(job, clip, index, native=True)), decoded)
        lines.append(f"{name} {count} {int(reader.clips.label[row])}\n")
    (Path(job.files) / "list.txt").write_text("".join(lines))
