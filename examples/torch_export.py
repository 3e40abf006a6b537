"""Ask an exported network with PyTorch alone: `tsn export runs/a model.pt2`. Needs no tsn."""

import json

import numpy as np
import torch

extra = {"metadata.json": ""}
model = torch.export.load("model.pt2", extra_files=extra).module()
classes = json.loads(json.loads(extra["metadata.json"])["classes"])
for clip in model(torch.from_numpy(np.load("frames.npy"))):  # uint8 RGB (B, S, H, W, 3)
    print(classes[clip.argmax()], f"{clip.max():.1%}")
