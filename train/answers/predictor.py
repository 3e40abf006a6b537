"""A trained network that answers for videos and for frames, from Python: `tsn.Predictor("runs/a").video("x.mp4")`.

Each way ends in `Predictor.scores`, so that all give the numbers of `tsn evaluate` for the same video and protocol.
"""

import io
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tsn.pipeline.extract.ffmpeg_command import FrameSettings
from tsn.pipeline.extract.ffmpeg_run import VideoError
from tsn.pipeline.extract.video import decode_videos
from tsn.pipeline.jpeg import decode_jpeg
from tsn.pipeline.loading.pixels import torch_device
from tsn.train.answers.prediction import Answer, Guess
from tsn.train.answers.trained import TrainedNetwork, load_trained
from tsn.train.network.end_to_end import Preparation
from tsn.train.network.memory import available, estimate_scoring, fitting
from tsn.train.network.model import shapes_of
from tsn.train.ranks.devices import channels_last, precision_of
from tsn.train.scores import clip_scores, clips_at_once
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import ExtractSettings
from tsn.tsn_shared.views import PROTOCOLS, VIEWS

Frames = npt.NDArray[np.uint8]


class Predictor:
    """A run's network and what it says of videos (`video`) and of frames (`frames`).

    `run` is a run folder (its best checkpoint), a checkpoint, a model.safetensors, or a network that is loaded. The
    protocol is `val`, `3crop` or `10crop`, with its own number of segments, or the run's, unless `num_segments` says
    another. `device` is cpu, gpu or auto, or one of torch's. An answer names the `top` best classes.
    """

    def __init__(
        self,
        run: Path | str | TrainedNetwork,
        *,
        protocol: str = "val",
        num_segments: int | None = None,
        top: int = 5,
        device: str | torch.device = "auto",
    ) -> None:
        if protocol not in PROTOCOLS:
            raise SettingsError(f"protocol {protocol}: there are {', '.join(PROTOCOLS)}")
        self.trained = run if isinstance(run, TrainedNetwork) else load_trained(Path(run))
        settings = self.trained.settings
        self.view = VIEWS[protocol]
        self.snippets = replace(settings.snippets, segments=num_segments or self.view.segments or settings.segments)
        self.top = top
        self.device = device if isinstance(device, torch.device) else torch_device(device)
        self.precision = precision_of(settings, self.device)
        _check_fit(self)
        self._network = channels_last(self.trained.network).to(self.device)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the C classes, in the order of the probabilities."""
        return self.trained.classes

    def frames(self, frames: Frames) -> Answer:
        """Return the answer for all frames (F, H, W, 3) of a video, RGB; those that the protocol shows are chosen.

        Frames of another size than those learned from are scaled to it as extraction scales.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
            raise SettingsError(f"frames are {frames.dtype} {frames.shape}: they must be uint8 (T, H, W, 3), RGB")
        shown = frames[self.view.frame_indices([len(frames)], self.snippets)[0]]
        return self.answer(self.scores(shown[None])[0], frames=len(frames))

    def video(self, path: Path | str) -> Answer:
        """Return the answer for a video, its frames made as those were that the network learned from.

        DataError where it is no video, or damaged; the answer's `note` tells lesser damage.
        """
        path, stored, out = Path(path), self.trained.frames, io.BytesIO()
        made = ExtractSettings(size=stored.size, quality=stored.quality or ExtractSettings().quality)
        try:
            (decoded,) = decode_videos([path], FrameSettings(size=made.frame_size, quality=made.quality), out)
        except VideoError as error:
            raise DataError(f"{path}: {error}") from None
        data, ends = out.getvalue(), pairwise(accumulate(decoded.sizes, initial=0))
        jpegs = [np.frombuffer(data[start:end], dtype=np.uint8) for start, end in ends]
        shown = self.view.frame_indices([len(jpegs)], self.snippets)[0].tolist()
        clip = np.stack([decode_jpeg(jpegs[index]) for index in shown])
        return self.answer(self.scores(clip[None])[0], frames=len(jpegs), video=str(path))

    def scores(self, clips: Frames) -> npt.NDArray[np.float32]:
        """Return the class probabilities (B, C) of clips (B, S * L, H, W, 3), uint8 RGB: frames that are shown.

        Frame l of segment s is at s * L + l (`snippets`); S may be any number. DataError where they are not finite.
        """
        settings, (height, width) = self.trained.settings, clips.shape[2:4]
        preparation = Preparation(
            frame_size=self.trained.frame_size or (height, width), input_size=settings.input_size, view=self.view
        ).to(self.device)
        with torch.inference_mode():
            prepared = preparation(torch.from_numpy(np.ascontiguousarray(clips)).to(self.device))
            scores = clip_scores(self._network, prepared, frames=clips.shape[1], precision=self.precision)
            probabilities = scores.softmax(dim=1).cpu().numpy()
        if not np.isfinite(probabilities).all():
            raise DataError(f"{self.trained.path} gives no numbers for these frames: its weights are too large")
        return np.asarray(probabilities)

    def answer(self, probabilities: npt.NDArray[np.float32], *, frames: int, video: str = "") -> Answer:
        """Return probabilities (C,) as the answer for a video of so many frames."""
        best = np.argsort(-probabilities, kind="stable")[: self.top].tolist()
        return Answer(
            video=video,
            frames=frames,
            top=tuple(Guess(name=self.classes[label], score=float(probabilities[label])) for label in best),
            probabilities=probabilities,
        )


def _check_fit(predictor: Predictor) -> None:
    """SettingsError where not one clip fits into memory."""
    trained, frames = predictor.trained, predictor.snippets.frames
    needs = estimate_scoring(
        shapes_of(trained.settings, len(trained.classes)),
        frames=frames,
        crops=predictor.view.crops,
        at_once=clips_at_once(frames, predictor.device),
        input_size=trained.settings.input_size,
        half=predictor.precision != "fp32",
    )
    fitting(needs, batch_size=1, free=available(predictor.device, processes=1), where=str(predictor.device))
