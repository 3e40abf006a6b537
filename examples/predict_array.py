"""Name the class of a video that is an array, with a trained run."""

from pathlib import Path

import numpy as np

from tsn.train import load_trained, predict

model = load_trained(Path("runs/a"))
frames = np.load("video.npy")  # uint8 RGB (T, H, W, 3): all frames of a video, of any size
probabilities = predict(model, frames)
print(model.classes[probabilities.argmax()], f"{probabilities.max():.1%}")
