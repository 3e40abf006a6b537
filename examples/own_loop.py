"""The loader in a training loop of one's own: endless batches, the same ones wherever and whenever it runs."""

from pathlib import Path

import torch
from torch import nn

from tsn import DataSettings, LoaderSettings, Pixels, open_split, train_clips

data = DataSettings(frames=Path("data/frames"), splits=Path("data/splits"), split="1")
settings = LoaderSettings(batch_size=4, num_segments=3, input_size=64, seed=0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
split = open_split(data)
network = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(3 * 8 * 8, len(split.classes))).to(device)
optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
with train_clips(split, data.frames, settings, Pixels(input_size=settings.input_pixels, device=device)) as loader:
    for step, batch in zip(range(3), loader, strict=False):
        clips = batch.clips  # (B, S, 3, H, W), normalised
        scores = network(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        loss = nn.functional.cross_entropy(scores.mean(dim=1), batch.labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step}: loss {loss.item():.3f}")
