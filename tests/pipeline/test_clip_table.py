import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import make_shards
from tsn.pipeline import clip_table as module
from tsn.pipeline.clip_table import HEADER, clip_table
from tsn.pipeline.splits.build import build_splits
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import SplitsSettings
from tsn.tsn_shared.splits import SUBSETS, Clips, read_split, write_split

NAMES = [f'{name}/v "{group}",_g{group:02d}\n\udce9' for name in ("Bow, é", "YoYo") for group in range(1, 6)]


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    """Frames, and a drawn split of them."""
    frames = make_shards(tmp_path / "frames", NAMES)
    build_splits(None, SplitsSettings(frames=frames, out=tmp_path / "splits", split_by="video", val_share=0.2))
    return frames, tmp_path / "splits"


def test_every_clip_of_every_subset_is_a_line(both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    parts = list(clip_table([both[1]]))
    assert max(part.count("\n") for part in parts) == 2
    header, *lines = csv.reader("".join(parts).splitlines())
    assert tuple(header) == HEADER
    split = read_split(both[1] / "split1.h5")
    names = {name: name.replace("\n", "\\n").replace("\udce9", "\\udce9") for name in NAMES}
    assert lines == [
        [str(split.path), subset, names[name], name.partition("/")[0], str(int(name > "C")), "3", "0"]
        for subset in SUBSETS
        for name in split.names(subset)
    ]
    assert {line[1] for line in lines} == {"train", "val", "test"}


def test_a_part_of_a_video_says_its_first_frame(tmp_path: Path) -> None:
    row = np.zeros(1, dtype=np.int32)
    part = Clips(label=row, shard=row, video=row, frames=row + 5, first=row + 7)
    write_split(
        tmp_path / "split1.h5",
        source="a list",
        classes=("Bow",),
        shards={"frames-00000.h5": "0" * 64},
        clips={"train": part, "test": replace(part, first=None)},
        names={"train": ("Bow/a_1_2",), "test": ("Bow/b",)},
    )
    assert "".join(clip_table([tmp_path / "split1.h5"])).splitlines()[1:] == [
        f"{tmp_path}/split1.h5,train,Bow/a_1_2,Bow,0,5,7",
        f"{tmp_path}/split1.h5,test,Bow/b,Bow,0,5,0",
    ]


def test_what_holds_no_split_is_refused_before_anything_is_printed(both: tuple[Path, Path]) -> None:
    for path in (both[0], both[0] / "frames-00000.h5"):
        with pytest.raises(SettingsError, match=rf"^{path} holds no splits"):
            next(clip_table([both[1], path]))
    (both[1] / "split2.h5").write_bytes(b"tsn-split 1\n")
    with pytest.raises(DataError, match=r"split2\.h5"):
        list(clip_table([both[1]]))
