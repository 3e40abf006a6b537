"""Read the frames of a shard: every video's, in order, each checked before it is given."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tsn import Shard, find_shards

for path in find_shards(Path("data/frames")):
    shard = Shard(path)
    for row, name in enumerate(shard.tables.names):
        first, end = shard.tables.first_frame[row : row + 2].tolist()
        frames = [np.asarray(Image.open(io.BytesIO(shard.read(frame)))) for frame in range(first, end)]
        print(name, np.stack(frames).shape, f"{shard.tables.fps[row]:g} frames/s")
