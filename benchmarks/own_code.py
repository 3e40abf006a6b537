r"""GluonCV's and MMAction2's own data sets and transforms, served for `benchmarks.loader --peers-python`.

They want libraries of their own, so they run in an interpreter of theirs:

    python3 -m venv peers
    peers/bin/pip install --no-deps mxnet==1.9.1 gluoncv==0.10.5.post0 mmengine mmcv-lite==2.1.0 mmaction2==1.2.0
    peers/bin/pip install 'numpy<1.24' 'opencv-python-headless<4.9' 'PyTurboJPEG<2' torch torchvision scipy einops \
        decord Pillow pyyaml addict yapf termcolor rich requests tqdm portalocker matplotlib pandas autocfg \
        importlib_metadata

PyTurboJPEG wants the system's libturbojpeg. Of this project only `benchmarks.turns` is imported here. All frames of the
training clips are JPEG files, a folder a video, as either project's guide for UCF101 makes them.
"""

import json
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, cast

from benchmarks.turns import bind, take

MEAN, STD, SCALES = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (1, 0.875, 0.75, 0.66)


def common(job: dict[str, Any]) -> dict[str, int]:
    """Return what both loaders are asked for: a worker a core, on one core the process itself."""
    return {"batch_size": job["batch_size"], "num_workers": job["cores"] if job["cores"] > 1 else 0}


def gluoncv(job: dict[str, Any]) -> Iterator[Any]:
    """Serve UCF101 with VideoGroupTrainTransform through Gluon's DataLoader, as its tutorial trains TSN."""
    sys.modules["torch"] = None  # type: ignore[assignment]  # GluonCV refuses a newer one, and needs none here
    from gluoncv.data import UCF101
    from gluoncv.data.transforms import video
    from mxnet import gluon

    transform = video.VideoGroupTrainTransform(size=(224, 224), scale_ratios=list(SCALES), mean=MEAN, std=STD)
    where = {"root": f"{job['files']}/native", "setting": f"{job['files']}/list.txt", "train": True}
    size = {"new_width": 340, "new_height": 256, "num_segments": job["segments"]}
    dataset = UCF101(**where, **size, transform=transform)
    loader = gluon.data.DataLoader(dataset, shuffle=True, last_batch="rollover", **common(job))
    while True:
        for clips, labels in loader:
            clips.wait_to_read()
            yield clips, labels


def mmaction2(job: dict[str, Any]) -> Iterator[Any]:
    """Serve RawframeDataset with its TSN's transforms, TurboJPEG and the fused crop; normalised as a batch."""
    # its wheel lacks a module that is of no use here
    sys.modules["mmaction.models.localizers.drn.drn"] = cast("ModuleType", SimpleNamespace(DRN=None))
    sys.modules["mmaction.models.localizers.drn"] = ModuleType("drn")
    import torch
    from mmaction.datasets import RawframeDataset
    from mmaction.models.data_preprocessors import ActionDataPreprocessor
    from mmengine.dataset import pseudo_collate
    from mmengine.registry import init_default_scope

    torch.set_num_threads(1)
    init_default_scope("mmaction")
    pipeline = [
        {"type": "SampleFrames", "clip_len": 1, "frame_interval": 1, "num_clips": job["segments"]},
        {"type": "RawFrameDecode", "io_backend": "disk", "decoding_backend": "turbojpeg"},
        {"type": "Resize", "scale": (-1, 256), "lazy": True},
        {"type": "MultiScaleCrop", "input_size": 224, "scales": SCALES, "max_wh_scale_gap": 1, "lazy": True},
        {"type": "Resize", "scale": (224, 224), "keep_ratio": False, "lazy": True},
        {"type": "Flip", "flip_ratio": 0.5, "lazy": True},
        {"type": "Fuse"},
        {"type": "FormatShape", "input_format": "NCHW"},
        {"type": "PackActionInputs"},
    ]
    dataset = RawframeDataset(
        ann_file=f"{job['files']}/list.txt", data_prefix={"img": f"{job['files']}/stored"}, pipeline=pipeline
    )
    how = {"shuffle": True, "drop_last": True, "persistent_workers": job["cores"] > 1, **common(job)}
    loader = torch.utils.data.DataLoader(dataset, collate_fn=pseudo_collate, **how)
    mean, std = ([255 * value for value in values] for values in (MEAN, STD))
    normalise = ActionDataPreprocessor(mean=mean, std=std, format_shape="NCHW")
    while True:
        for batch in loader:
            yield normalise(batch, training=True)


def main() -> None:
    """Take the turn of a way: `own_code WAY JOB --seconds SECONDS`."""
    way, job = sys.argv[1], json.loads(sys.argv[2])
    bind(job["cores"])
    import cv2

    cv2.setNumThreads(0)
    take({"gluoncv": gluoncv, "mmaction2": mmaction2}[way](job), job["batch_size"], float(sys.argv[4]))


if __name__ == "__main__":
    main()
