"""What a pass is asked for, and what it refuses before it begins."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsn.train.answers.passes import plan_pass, protocol_and_segments, run_pass
from tsn.train.answers.trained import load_trained
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import DataSettings, ScoreSettings, SplitScoreSettings
from tsn.tsn_shared.splits import Clips, open_split, write_split


@pytest.mark.parametrize(
    ("protocol", "stated", "segments"), [("val", None, 3), ("val", 7, 7), ("3crop", None, 25), ("10crop", 4, 4)]
)
def test_segments_are_those_stated_or_the_protocols_or_the_runs(
    trained_run: Path, protocol: str, stated: int | None, segments: int
) -> None:
    asked = ScoreSettings(protocol=protocol, num_segments=stated)
    assert protocol_and_segments(load_trained(trained_run), asked) == (protocol, segments)


def test_a_pass_states_its_protocol_in_words(trained_run: Path) -> None:
    trained = load_trained(trained_run)
    wanted = plan_pass("train", trained, SplitScoreSettings(protocol="10crop"), features=True)
    assert wanted.words == "protocol 10crop (25 segments, 10 crops)"
    assert (wanted.checkpoint, wanted.subset, wanted.features) == (trained.path, "train", True)
    assert (wanted.data.frames, wanted.data.split) == (trained.settings.frames, "1")


def test_a_pass_gives_each_clip_of_its_subset_in_order(trained_run: Path, data: DataSettings) -> None:
    trained = load_trained(trained_run)
    settings = SplitScoreSettings(gpus="0")
    found = run_pass(plan_pass("train", trained, settings), trained, settings)
    split = open_split(data)
    assert found.names == split.names("train", slice(None))
    assert found.labels.tolist() == split.train.label.tolist()
    assert found.values.shape == (12, 4)


def test_a_subset_without_clips_is_refused(trained_run: Path, data: DataSettings, tmp_path: Path) -> None:
    split = open_split(data)
    none = Clips(**{name: np.zeros(0, dtype=np.int32) for name in ("label", "shard", "video", "frames")})
    write_split(
        tmp_path / "split1.h5",
        source="tests",
        classes=split.classes,
        shards=dict(zip(split.shard_names, split.shard_sha256, strict=True)),
        clips={"train": split.train, "test": none},
        names={"train": split.names("train", slice(None)), "test": ()},
    )
    trained, settings = load_trained(trained_run), SplitScoreSettings(gpus="0", splits=tmp_path)
    with pytest.raises(SettingsError, match=r"split1\.h5 has no test clips: it has train$"):
        run_pass(plan_pass("test", trained, settings), trained, settings)


def test_a_batch_holds_no_more_frames_than_in_training_and_one_clip_at_least(
    changed_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 5 clips of 3 frames: as many frames are 1 clip of 10, and 7 clips of one frame are all that there are."""
    import tsn.train.loaders as data_of

    trained = load_trained(changed_run("run"))
    sizes, opened = [], data_of.open_val_loader

    def noted(*words: Any, **options: Any) -> Any:
        sizes.append(options["batch_size"])
        return opened(*words, **options)

    monkeypatch.setattr(data_of, "open_val_loader", noted)
    for segments in (3, 10, 1, 40):
        settings = SplitScoreSettings(gpus="0", num_segments=segments)
        run_pass(plan_pass("test", trained, settings), trained, settings)
    assert sizes == [5, 1, 7, 1]
