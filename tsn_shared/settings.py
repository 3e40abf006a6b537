"""The settings of the commands: one frozen dataclass a command, the only place of their defaults, bounds and help.

The command line makes its options from these fields, so an option and its setting cannot differ. Imports
nothing heavy: `tsn -h` reads this module.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.fields import Settings, setting
from tsn.tsn_shared.normalisation import MEAN, STD, Normalisation
from tsn.tsn_shared.views import PROTOCOLS, VIEWS, Snippets


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """Where the data are."""

    frames: Path = setting(Path("data/frames"), "Folder of frame shards that extract-frames made.")
    splits: Path = setting(Path("data/splits"), "Folder of split files that build-splits made.")
    split: str = setting("1", "Which split: split1.h5 is 1.", metavar="NAME")


VIDEOS = Path("data/UCF-101")
"""Folder of videos where none is named."""

MAX_SEED = 2**62

MOST_CLIPS, MOST_SEGMENTS, MOST_EPOCHS, MOST_CLASSES, MOST_PROCESSES = 10**6, 10**4, 10**6, 10**6, 10**5
"""Far above what anybody trains with, and low enough that what is computed from them stays a number."""

MAX_EDGE = 16_384
"""Pixels of a frame's longer edge, at most."""


@dataclass(frozen=True, kw_only=True)
class ExtractSettings(Settings):
    """How videos become frame shards."""

    out: Path = setting(Path("data/frames"), "Folder for the shards.")
    size: str = setting("340x256", "Frame size in pixels, or native.", metavar="WxH|native")
    quality: int = setting(2, "JPEG quality on ffmpeg's scale, 2 (best) to 31.", low=2, high=31)
    videos_per_shard: int = setting(64, "Videos a shard.", low=1, high=100_000)
    jobs: int | None = setting(None, "Decoders at once; by default one a core.", low=1)
    dask: str | None = setting(None, "Scheduler of a Dask cluster that does the work.", metavar="ADDRESS")
    retry_failed: bool = setting(False, "Try the videos that failed again.")
    allow_failed: bool = setting(False, "End with exit code 0 though videos failed; they are listed all the same.")
    overwrite: bool = setting(False, "Delete the shards that are there and start again.")

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.frame_size

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """Width and height of a frame in pixels; None: the video's own."""
        if self.size == "native":
            return None
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", self.size)
        if match is None or max(int(match[1]), int(match[2])) > MAX_EDGE:
            raise SettingsError(f"--size {self.size}: it is WxH in pixels up to {MAX_EDGE}, like 340x256, or native")
        return int(match[1]), int(match[2])


@dataclass(frozen=True, kw_only=True)
class SplitsSettings(Settings):
    """How lists become split files."""

    frames: Path = setting(Path("data/frames"), "Folder of frame shards that extract-frames made.")
    out: Path = setting(Path("data/splits"), "Folder for the split files.")
    allow_missing: bool = setting(False, "Leave out listed videos that have no frames.")
    split_by: str | None = setting(
        None,
        "Draw split 1 from all videos in class folders, or from one list, by video or keeping groups (..._g01_c01) "
        "whole; or take the folders train, val and test above them.",
        choices=("group", "video", "folder"),
    )
    test_share: float = setting(0.3, "Share of each class that a drawn split tests on.", above=0, high=0.9)
    val_share: float = setting(0.0, "Share of each class that it validates on.", low=0, high=0.8)
    seed: int = setting(0, "Seed of a drawn split.", low=0, high=MAX_SEED)


BALANCES = ("none", "sqrt", "full")
DECODERS = ("cpu", "engine", "mixed")


SNIPPET_LENGTHS = {"rgb": 1, "rgbdiff": 6}
"""Frames that a segment shows, by modality: five differences are between six."""

USUAL_SEGMENTS, SHIFT_SEGMENTS, USUAL_SIZE = 3, 8, 224
"""Segments a clip, without and with --shift, and pixels of the input's height and width, where settings do not say."""


_RGB = "R,G,B"


@dataclass(frozen=True, kw_only=True)
class LoaderSettings(Settings):
    """What of a clip is served, and how many at once."""

    batch_size: int = setting(25, "Clips a GPU (or CPU process) and step.", low=1, high=MOST_CLIPS)
    num_segments: int | None = setting(
        None, "Segments a clip; by default 3, in training with --shift 8.", low=1, high=MOST_SEGMENTS
    )
    modality: str = setting(
        "rgb",
        "What is seen of a segment: rgb: a frame; rgbdiff: 5 differences of 6 neighbouring frames.",
        choices=tuple(SNIPPET_LENGTHS),
    )
    input_size: int | None = setting(
        None, "Height and width of the input in pixels; by default the model's own, or 224.", low=16, high=MAX_EDGE
    )
    mean: tuple[float, ...] | None = setting(
        None, "Mean of RGB, 0 to 1, to normalise by; by default the model's own.", low=0, high=1, length=3, metavar=_RGB
    )
    std: tuple[float, ...] | None = setting(
        None, "Its standard deviation, likewise.", above=0, high=1, length=3, metavar=_RGB
    )
    balance: str = setting(
        "none", "Draw a class as often as it has clips, by the root of that, or all alike (full).", choices=BALANCES
    )
    seed: int = setting(
        0, "Seed of all that is drawn: order, frames, crops, flips, weights, dropout.", low=0, high=MAX_SEED
    )

    @property
    def segments(self) -> int:
        """Segments a clip."""
        return self.num_segments or self.usual_segments

    @property
    def usual_segments(self) -> int:
        """Segments a clip where they are not stated."""
        return USUAL_SEGMENTS

    @property
    def input_pixels(self) -> int:
        """Height and width of the network's input."""
        return self.input_size or USUAL_SIZE

    @property
    def normalisation(self) -> Normalisation:
        """How pixels are normalised: as stated, or by ImageNet's mean and standard deviation."""
        return Normalisation(mean=self.mean or MEAN, std=self.std or STD)

    @property
    def snippets(self) -> Snippets:
        """What of its video a clip shows."""
        return Snippets(segments=self.segments, length=SNIPPET_LENGTHS[self.modality])


@dataclass(frozen=True, kw_only=True)
class ShowBatchSettings(LoaderSettings, DataSettings):
    """Which batch is shown."""

    subset: str = setting("train", "Which clips.", choices=("train", "val", "test"))
    epoch: int = setting(0, "Epoch of the training clips, from 0.", low=0)
    step: int = setting(0, "Step of that epoch, or of the pass over the test clips, from 0.", low=0)
    rank: int = setting(0, "The process whose part of the batch is shown, from 0.", low=0)
    world_size: int = setting(1, "How many processes share the training.", low=1)
    device: str = setting("cpu", "Where the clips are made.", choices=("cpu", "gpu"))
    out: Path = setting(Path("batch.png"), "A .png or .npz file.")


@dataclass(frozen=True, kw_only=True)
class BenchLoaderSettings(LoaderSettings, DataSettings):
    """Which loader is measured."""

    device: str = setting(
        "auto", "Where the clips are made; auto: a GPU if there is one.", choices=("auto", "cpu", "gpu")
    )
    decoder: str = setting("cpu", "What decodes the frames for a GPU.", choices=DECODERS)
    loader_threads: int | None = setting(None, "Threads that decode; by default one a core.", low=1)


@dataclass(frozen=True, kw_only=True)
class ScoreSettings(Settings):
    """How a trained network scores clips, and on what."""

    protocol: str = setting(
        "val",
        f"{'; '.join(f'{name}: {VIEWS[name].usual}' for name in PROTOCOLS)}.",
        choices=PROTOCOLS,
    )
    num_segments: int | None = setting(None, "Segments a clip; by default the protocol's.", low=1, high=MOST_SEGMENTS)
    gpus: str = setting("auto", "GPUs to use; 0 is the CPU.", metavar="N|auto")


@dataclass(frozen=True, kw_only=True)
class SplitScoreSettings(ScoreSettings):
    """How a trained network scores the clips of a split, by default the one that its checkpoint states."""

    num_processes: int = setting(1, "Processes on the CPU, with --gpus 0.", low=1, high=MOST_PROCESSES)

    frames: Path | None = setting(None, "Folder of frame shards; by default the checkpoint's.")
    splits: Path | None = setting(None, "Folder of split files; by default the checkpoint's.")
    split: str | None = setting(None, "Which split; by default the checkpoint's.", metavar="NAME")
    other_split: bool = setting(False, "Allow a split that the checkpoint was not trained on.")


MODELS = ("vgg16", "vgg16_bn", "resnet18", "resnet50")
TIMM = "timm/"
"""How the name of a model of timm begins."""

MODEL_ALIASES = {"vgg16_ucf101": "vgg16"}
LR_MODES = ("step", "cosine", "poly")
OPTIMIZERS = ("sgd", "adamw")
FREEZES = ("none", "statistics", "backbone")
TRACKERS = ("wandb",)
PRECISIONS = ("fp32", "bf16", "fp16")
MOST_LR = 3.4e38
"""Learning rate at any epoch, at most: the weights' own numbers end there."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings(DataSettings, LoaderSettings):
    """How a network is trained. The defaults are the recipe of GluonCV's published VGG16-TSN run on UCF101."""

    gpus: str = setting(
        "auto", "GPUs to train on; auto takes all, 0 is the CPU.", metavar="N|auto", flags=("--num-gpus",)
    )
    run: Path | None = setting(None, "Folder for the run; by default runs/<time>.", metavar="DIR")
    resume: str | None = setting(None, "Go on from a run folder; auto: from --run if it holds one.", metavar="auto|DIR")
    model: str = setting("vgg16", "Backbone, or any image model of timm.", choices=MODELS, prefix=TIMM)
    weights: str = setting("imagenet", "What the backbone starts from.", metavar="imagenet|none|FILE")
    use_tsn: bool = setting(True, "Segments and their consensus; without, one frame a clip.", flags=("--no-tsn",))
    shift: bool = setting(False, "Shift an eighth of a ResNet's channels each way in time (TSM).")
    num_classes: int | None = setting(None, "Classes; by default those of the split.", low=2, high=MOST_CLASSES)
    num_epochs: int = setting(80, "Epochs.", low=1, high=MOST_EPOCHS)
    lr: float = setting(0.001, "Learning rate for the global batch as it is.", above=0)
    lr_mode: str = setting("step", "Schedule of the learning rate.", choices=LR_MODES)
    lr_decay: float = setting(0.1, "Factor of the step schedule.", above=0)
    lr_decay_epoch: tuple[int, ...] = setting(
        (30, 60), "Epochs at which the step schedule decays.", low=1, high=MOST_EPOCHS, metavar="E,E"
    )
    warmup_epochs: float = setting(0.0, "Epochs of linear warm-up from 0.", low=0, high=MOST_EPOCHS)
    optimizer: str = setting("sgd", "What adapts the weights.", choices=OPTIMIZERS)
    momentum: float = setting(0.9, "Momentum of SGD; the first beta of AdamW.", low=0, high=1)
    wd: float = setting(0.0005, "Weight decay: SGD's of biases as well, AdamW's not of biases and norms.", low=0)
    freeze: str = setting(
        "none",
        "What stays as it is; statistics: those of batch normalisation; backbone: all but the last layer.",
        choices=FREEZES,
    )
    head_lr: float = setting(1.0, "Factor on the last layer's learning rate.", above=0)
    dropout: float = setting(0.9, "Dropout before the last layers.", low=0, high=1)
    clip_grad: float | None = setting(None, "Largest L2 norm of the gradient; off by default.", above=0)
    accumulate: int = setting(1, "Batches whose gradients are averaged for one step.", low=1, high=MOST_CLIPS)
    label_smoothing: float = setting(0.0, "Label smoothing.", low=0, high=1)
    precision: str | None = setting(None, "By default bf16 on a GPU and fp32 on the CPU.", choices=PRECISIONS)
    compile: bool | None = setting(None, "torch.compile; by default on a GPU only.")
    decoder: str = setting(
        "auto",
        "What decodes the frames: the CPU, the card's JPEG engine or the GPU's kernels (mixed); auto: the first of "
        "these that keeps ahead of training.",
        choices=("auto", *DECODERS),
    )
    loader_threads: int | None = setting(
        None, "Threads a rank that decode; by default its share of the cores.", low=1, high=1024
    )
    num_processes: int = setting(1, "Processes on the CPU, with --gpus 0.", low=1, high=MOST_PROCESSES)
    save_every: int | None = setting(None, "Steps between checkpoints; by default an epoch.", low=1)
    max_restarts: int = setting(3, "Restarts from the last checkpoint after a rank died.", low=0, high=10**6)
    auto_scale_lr: bool = setting(False, "Scale the learning rate by the global batch over the published 200.")
    track: str | None = setting(None, "Tell a tracker of each epoch as well.", choices=TRACKERS)
    nnodes: int = setting(1, "Machines that train together.", low=1, high=MOST_PROCESSES)
    rdzv_endpoint: str | None = setting(None, "Where they meet, the same on all.", metavar="HOST:PORT")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rdzv_endpoint is not None and not re.fullmatch(r"\S+:\d{1,5}", self.rdzv_endpoint):
            raise SettingsError(f"--rdzv-endpoint {self.rdzv_endpoint}: it is HOST:PORT, of the first machine")
        if self.optimizer == "adamw" and self.momentum >= 1:
            raise SettingsError(f"--momentum {self.momentum:g} with --optimizer adamw: it must be less than 1")
        growth = len(self.lr_decay_epoch) * math.log(self.lr_decay) if self.lr_mode == "step" else 0
        if max(math.log(self.lr), 0) + max(math.log(self.head_lr), 0) + max(growth, 0) > math.log(MOST_LR):
            raise SettingsError(
                f"--lr {self.lr:g} (--head-lr {self.head_lr:g}) with --lr-decay {self.lr_decay:g} at "
                f"{len(self.lr_decay_epoch)} epochs: it grows beyond {MOST_LR:.2g}, the largest of fp32: lower them"
            )

        if self.shift and self.model in MODELS and not self.model.startswith("resnet"):
            raise SettingsError(f"--shift needs a ResNet: --model {self.model} is none")
        if self.shift and self.segments < 2:
            raise SettingsError("--shift needs 2 segments or more: leave out --no-tsn, and --num-segments 1")

    @property
    def usual_segments(self) -> int:
        """Segments a clip where they are not stated: as many as in TSM's paper where it shifts."""
        return SHIFT_SEGMENTS if self.shift else USUAL_SEGMENTS

    @property
    def segments(self) -> int:
        """Segments a clip in training: 1 without TSN."""
        return super().segments if self.use_tsn else 1
