"""A trained network that answers for videos and for frames, from Python: `tsn.Predictor("runs/a").video("x.mp4")`.

Each way ends in `Predictor.scores`, so that all give the numbers of `tsn evaluate` for the same video and protocol.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tsn.pipeline.extract.chosen import decode_chosen
from tsn.pipeline.extract.ffmpeg_command import FrameSettings
from tsn.pipeline.extract.ffmpeg_run import VideoError
from tsn.pipeline.loading.pixels import torch_device
from tsn.train.answers.over_time import Timeline, timeline
from tsn.train.answers.prediction import Answer, Guess
from tsn.train.answers.stream import moments_of_frames
from tsn.train.answers.timeline import Moment
from tsn.train.answers.trained import TrainedNetwork, load_trained
from tsn.train.network.end_to_end import Preparation
from tsn.train.network.memory import available, estimate_scoring, fitting
from tsn.train.network.model import shapes_of
from tsn.train.ranks.devices import channels_last, precision_of
from tsn.train.scores import clip_scores, clips_at_once
from tsn.tsn_shared.answer_settings import OverTimeSettings
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import ExtractSettings
from tsn.tsn_shared.views import PROTOCOLS, VIEWS

Frames = npt.NDArray[np.uint8]

MOST_BYTES = 32 << 20
"""Of frames that are scaled and cropped together: as floats they are four times that."""


class Predictor:
    """A run's network and what it says of videos (`video`) and of frames (`frames`).

    `run` is a run folder (its best checkpoint), a checkpoint, a model.safetensors, or a network that is loaded. The
    protocol is `val`, `3crop` or `10crop`, with its own number of segments, or the run's, unless `num_segments` says
    another. `device` is cpu, gpu or auto, or one of torch's; a network that is loaded moves there. An answer names the
    `top` best classes.

    What is made of it: `view` and `snippets` say which frames are shown and how they are cropped, `stored` how the
    frames of a video are made, `at_once` how many clips go through the network together.
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
        if num_segments is not None and num_segments < 1:
            raise SettingsError(f"{num_segments} segments: there must be 1 at least")
        self.trained = run if isinstance(run, TrainedNetwork) else load_trained(Path(run))
        settings = self.trained.settings
        self.view = VIEWS[protocol]
        segments = self.trained.segments(num_segments, usual=self.view.segments)
        self.snippets = replace(settings.snippets, segments=segments)
        self.top = top
        self.device = device if isinstance(device, torch.device) else torch_device(device)
        self.precision = precision_of(settings, self.device)
        self.at_once = self._fitting()
        made = ExtractSettings(size=self.trained.frames.size)
        self.stored = FrameSettings(size=made.frame_size, quality=self.trained.frames.quality or made.quality)
        self._network = channels_last(self.trained.network).to(self.device)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the C classes, in the order of the probabilities."""
        return self.trained.classes

    @property
    def words(self) -> str:
        """How clips are scored, in words: protocol, segments, crops."""
        return self.view.described(self.snippets.segments)

    def frames(self, frames: Frames) -> Answer:
        """Return the answer for all frames (F, H, W, 3) of a video, RGB; those that the protocol shows are chosen.

        Frames of another size than those learned from are scaled to it as extraction scales.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
            raise SettingsError(f"frames are {frames.dtype} {frames.shape}: they must be uint8 (T, H, W, 3), RGB")
        shown = frames[self.choose(len(frames))]
        return self.answer(self.scores(shown[None])[0], frames=len(frames))

    def video(self, path: Path | str) -> Answer:
        """Return the answer for a video, or a folder of frames, made into frames as those were that were learned from.

        DataError where it is no video, or damaged; the answer's `note` tells lesser damage.
        """
        try:
            found = decode_chosen(Path(path), self.stored, self.choose)
        except VideoError as error:
            raise DataError(f"{path}: {error}") from None
        probabilities = self.scores(found.pictures()[None])[0]
        return self.answer(probabilities, frames=found.frames, video=str(path), note=found.note)

    def timeline(self, path: Path | str, *, every: str = "1s", window: str = "4s", min_score: float = 0.0) -> Timeline:
        """Return what happens when in a video file: moments, and segments of one class, as `tsn predict --every`.

        DataError where it gives no frame; `failure` and `note` of the answer tell lesser damage.
        """
        try:
            return timeline(self, Path(path), OverTimeSettings(every=every, window=window, min_score=min_score))
        except VideoError as error:
            raise DataError(f"{path}: {error}") from None

    def stream(
        self, frames: Iterable[tuple[float, Frames]], *, every: str = "1s", window: str = "4s"
    ) -> Iterator[Moment]:
        """Yield what is seen in frames as they come, each (seconds, picture (H, W, 3), uint8 RGB), all of one size.

        A moment comes with the first frame after its last window; the frames of one window are held.
        """
        return moments_of_frames(self, frames, OverTimeSettings(every=every, window=window))

    def choose(self, frames: int) -> list[int]:
        """Return which frames the protocol shows of a video of so many: S * L numbers from 0."""
        numbers: list[int] = self.view.frame_indices([frames], self.snippets)[0].tolist()
        return numbers

    def scores(self, clips: Frames) -> npt.NDArray[np.float32]:
        """Return the class probabilities (B, C) of clips (B, S * L, H, W, 3), uint8 RGB: frames that are shown.

        Frame l of segment s is at s * L + l (`snippets`); S may be any number, but with --shift is that of training.
        DataError where they are not finite.
        """
        height, width = clips.shape[2:4]
        preparation = Preparation(
            frame_size=self.trained.frame_size or (height, width),
            input_size=self.trained.settings.input_pixels,
            normalisation=self.trained.settings.normalisation,
            view=self.view,
        ).to(self.device)
        shown = torch.from_numpy(np.require(clips, requirements=["C", "W"])).flatten(0, 1)
        few = torch.split(shown, max(1, MOST_BYTES // (3 * height * width)))
        with torch.inference_mode():
            parts = [preparation(part[None].to(self.device)) for part in few]
            prepared = torch.cat(parts, dim=1).view(len(clips), -1, *parts[0].shape[2:])
            scores = clip_scores(self._network, prepared, frames=clips.shape[1], precision=self.precision)
            probabilities = scores.softmax(dim=1).cpu().numpy()
        if not np.isfinite(probabilities).all():
            raise DataError(f"{self.trained.path} gives no numbers for these frames: its weights are too large")
        return np.asarray(probabilities)

    def answer(self, probabilities: npt.NDArray[np.float32], *, frames: int, video: str = "", note: str = "") -> Answer:
        """Return probabilities (C,) as the answer for a video of so many frames."""
        best = np.argsort(-probabilities, kind="stable")[: self.top].tolist()
        return Answer(
            video=video,
            frames=frames,
            top=tuple(Guess(name=self.classes[label], score=float(probabilities[label])) for label in best),
            probabilities=probabilities,
            note=note,
        )

    def _fitting(self) -> int:
        """Return how many clips go through the network together; SettingsError where not one fits into memory."""
        frames, settings = self.snippets.frames, self.trained.settings
        at_once = clips_at_once(frames, self.device)
        needs = estimate_scoring(
            shapes_of(settings, len(self.classes)),
            frames=frames,
            crops=self.view.crops,
            at_once=at_once,
            input_size=settings.input_pixels,
            half=self.precision != "fp32",
        )
        free = available(self.device, processes=1)
        most = max(1, at_once // self.view.crops)
        return fitting(needs, batch_size=most, free=free, where=str(self.device))
