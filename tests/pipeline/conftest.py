"""Frames to load: 340x256 JPEGs of drawn pictures in three shards, with videos as short and as long as UCF101's."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.helpers import tables_of
from tsn.tsn_shared.settings import DataSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.shards import shard_name, write_shard
from tsn.tsn_shared.splits import Clips, Subset, write_split

HEIGHT, WIDTH = 256, 340
TRAIN = (28, 1, 1775, 2, 3, 40, 5, 31, 64, 4, 30)
TEST = (3, 29, 1, 2, 28, 1775, 33)
"""Frames of each clip."""
A_SHARD = 7
NOISE = np.random.default_rng(1).integers(0, 9, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def picture(rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw something with large shapes, edges and a little noise, as in a film."""
    coarse = cv2.resize(
        rng.integers(0, 256, (8, 10, 3), dtype=np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    x, y = int(rng.integers(0, WIDTH - 60)), int(rng.integers(0, HEIGHT - 60))
    cv2.rectangle(coarse, (x, y), (x + 60, y + 60), rng.integers(0, 256, 3).tolist(), thickness=-1)
    return np.asarray(cv2.add(coarse, np.roll(NOISE, (y, x), axis=(0, 1))), dtype=np.uint8)


def jpeg(rng: np.random.Generator) -> bytes:
    return bytes(cv2.imencode(".jpg", picture(rng), [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def columns(lengths: tuple[int, ...], first: int) -> Clips:
    video = np.arange(first, first + len(lengths), dtype=np.int32)
    return Clips(
        label=video % 4, shard=video // A_SHARD, video=video % A_SHARD, frames=np.array(lengths, dtype=np.int32)
    )


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> DataSettings:
    """Shards and a split 1 of the clips above; tests that damage them work on a copy."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(5)
    lengths = TRAIN + TEST
    names = [f"Class{number % 4}/v_{number:02d}" for number in range(len(lengths))]
    shards = {}
    for number, start in enumerate(range(0, len(names), A_SHARD)):
        stop = start + A_SHARD
        videos = {
            name: [jpeg(rng) for _ in range(count)]
            for name, count in zip(names[start:stop], lengths[start:stop], strict=True)
        }
        tables, payload = tables_of(videos)
        path = folder / shard_name(number)
        write_shard(path, tables, [payload])
        shards[path.name] = Shard(path).sha256
    subsets: dict[Subset, Clips] = {"train": columns(TRAIN, 0), "test": columns(TEST, len(TRAIN))}
    write_split(
        folder / "split1.h5",
        source="tests",
        classes=tuple(f"Class{number}" for number in range(4)),
        shards=shards,
        clips=subsets,
        names={"train": tuple(names[: len(TRAIN)]), "test": tuple(names[len(TRAIN) :])},
    )
    return DataSettings(frames=folder, splits=folder)
