"""Metrics by Pillow, OpenCV and a plain network: what all that answers must agree with."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tsn.train.fit.checkpoint import load_checkpoint
from tsn.train.network.model import TSN, build_model
from tsn.tsn_shared.settings import DataSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.splits import read_split

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def crops_of(frame: np.ndarray[Any, Any], protocol: str) -> list[np.ndarray[Any, Any]]:
    """Cut a frame as the field does: val and 10crop at 0.875 of the shorter side, 3crop at all of it."""
    height, width = frame.shape[:2]
    edge = min(height, width) if protocol == "3crop" else int(min(height, width) * 0.875)
    if protocol == "3crop":
        places = [(0, 0), (0, (width - edge) // 2), (0, width - edge)]
    elif protocol == "10crop":
        low, right = height - edge, width - edge
        places = [(low // 2, right // 2), (0, 0), (0, right), (low, 0), (low, right)]
    else:
        places = [(round((height - edge) / 2), round((width - edge) / 2))]
    crops = [frame[y : y + edge, x : x + edge] for y, x in places]
    return crops + ([crop[:, ::-1] for crop in crops] if protocol == "10crop" else [])


def frames_of(data: DataSettings, protocol: str, segments: int) -> list[list[np.ndarray[Any, Any]]]:
    """Return the S frames that each of split 1's test clips is scored by, as pictures (H, W, 3)."""
    split = read_split(data.splits / "split1.h5")
    shard = Shard(data.frames / split.shard_names[0])
    found = []
    for video, frames in zip(split.test.video.tolist(), split.test.frames.tolist(), strict=True):
        tick, first = frames / segments, int(shard.tables.first_frame[video])
        short = protocol == "val" and frames <= segments
        numbers = [0 if short else int(tick / 2 + tick * segment) for segment in range(segments)]
        jpegs = [shard.read(first + number).tobytes() for number in numbers]
        found.append([np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")) for jpeg in jpegs])
    return found


def clips_of(data: DataSettings, protocol: str, segments: int, size: int = 32) -> list[Tensor]:
    """Return split 1's test clips, each as its K crops: (K, S, 3, size, size), float32."""
    return [clip_of(frames, protocol, size) for frames in frames_of(data, protocol, segments)]


def clip_of(frames: Sequence[np.ndarray[Any, Any]], protocol: str, size: int = 32) -> Tensor:
    """Return frames (H, W, 3) as the K crops of a clip: (K, S, 3, size, size), float32."""

    def seen(crop: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        small = np.rint(cv2.resize(crop.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR))
        return np.asarray(((small / 255 - MEAN) / STD).transpose(2, 0, 1).astype(np.float32))

    crops = np.array([[seen(crop) for crop in crops_of(frame, protocol)] for frame in frames])
    return torch.from_numpy(crops).transpose(0, 1)


def network_of(run: Path, *, shift_segments: int | None = None) -> TSN:
    """Return the network of a run's best checkpoint, ready to be asked."""
    network = build_model("resnet18", num_classes=4, dropout=0.0, shift_segments=shift_segments)
    network.load_state_dict(load_checkpoint(run / "checkpoints" / "best.pt")["model"])
    return network.eval()


def reference(network: TSN, clips: list[Tensor]) -> np.ndarray[Any, Any]:
    """Return the answers (N, D) for clips (K, S, 3, H, W): the mean over the crops, each one a clip by itself."""
    with torch.inference_mode():
        return np.array([network(clip).numpy().mean(axis=0) for clip in clips])
