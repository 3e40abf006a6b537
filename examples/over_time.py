"""Say what happens when in a video file, and in frames that a program of one's own has, with a trained run."""

import numpy as np

import tsn

predictor = tsn.Predictor("runs/a")

for segment in predictor.timeline("video.mp4", every="500ms", window="1s").segments:
    print(f"{segment.start:6.1f} s to {segment.end:6.1f} s: {segment.name} {segment.score:.1%}")

frames = np.load("video.npy")  # uint8 RGB (T, H, W, 3), here of 25 frames a second; from a camera it is the same
for moment in predictor.stream(((number / 25, frame) for number, frame in enumerate(frames)), window="1s"):
    print(f"{moment.start:6.1f} s: {moment.top[0].name}")
