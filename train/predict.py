"""Prediction from Python: a trained network's answer for the frames of one video.

from train.predict import load_trained, predict

model = load_trained(Path("runs/mine"))
probabilities = predict(model, frames)   # uint8 RGB (T, H, W, 3), all frames of the video
"""

import numpy as np
import numpy.typing as npt
import torch

from train.end_to_end import EndToEnd
from train.trained import Trained, load_trained
from tsn_shared.errors import SettingsError
from tsn_shared.sampling import val_indices

__all__ = ["load_trained", "predict"]


def predict(
    model: Trained, frames: npt.NDArray[np.uint8], *, num_segments: int | None = None
) -> npt.NDArray[np.float32]:
    """Return the class probabilities (C,), in the order of `model.classes`, of a video's frames (T, H, W, 3), RGB.

    The protocol is `val`: the middle frame of each segment, the centre crop. Frames of another size than those learned
    from are resized to it. SettingsError for an array of another kind.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise SettingsError(f"frames are {frames.dtype} {frames.shape}: they must be uint8 (T, H, W, 3), RGB")
    shown = frames[val_indices([len(frames)], num_segments or model.settings.segments)[0]]
    module = EndToEnd(
        model.network,
        frame_size=model.frame_size or (frames.shape[1], frames.shape[2]),
        input_size=model.settings.input_size,
    )
    device = next(model.network.parameters()).device
    with torch.inference_mode():
        answer = module.to(device)(torch.from_numpy(np.ascontiguousarray(shown)).to(device)[None])[0]
    return np.asarray(answer.cpu().numpy())
