"""Ask a trained run about videos and frames from Python."""

from pathlib import Path

import numpy as np

from tsn import DataError, Predictor

predictor = Predictor("runs/a", top=2)  # a GPU where there is one; protocol="10crop" as papers score
for path in sorted(Path("videos").iterdir()):
    try:
        answer = predictor.video(path)
    except DataError as error:
        print(f"no answer: {error}")
        continue
    print(path.name, f"{answer.frames} frames", answer.note or "whole")
    for guess in answer.top:
        print(f"  {guess.score:.1%} {guess.name}")

frames = np.load("video.npy")  # uint8 RGB (F, H, W, 3): all frames of a video, of any size
answer = predictor.frames(frames)
print(answer.top[0].name, answer.probabilities.shape)
