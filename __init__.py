"""Temporal Segment Networks on video: `tsn.pipeline` makes and serves the data, `tsn.train` trains and answers.

Installed, the folders of the checkout and `cli.py` are this one package: nothing else of the same name can stand in its
way. What a program of one's own needs most is offered here; each name loads its module when it is first used.
"""

from typing import TYPE_CHECKING

from tsn.tsn_shared.exports import on_first_use

if TYPE_CHECKING:
    __version__: str

    from tsn.pipeline.extract.run import extract_frames
    from tsn.pipeline.loading.loader import Batch, ClipLoader, EvalLoader, train_clips
    from tsn.pipeline.loading.pixels import Pixels
    from tsn.pipeline.loading.reader import FrameReader
    from tsn.pipeline.loading.schedule import EvalSchedule
    from tsn.pipeline.splits.build import build_splits
    from tsn.train.answers.predictor import Predictor
    from tsn.tsn_shared.errors import DataError, PartialError, SettingsError, StoppedError, TsnError
    from tsn.tsn_shared.settings import (
        DataSettings,
        ExtractSettings,
        LoaderSettings,
        ScoreSettings,
        SplitScoreSettings,
        SplitsSettings,
        TrainSettings,
    )
    from tsn.tsn_shared.shard_file import Shard
    from tsn.tsn_shared.shards import find_shards
    from tsn.tsn_shared.splits import Split, open_split
    from tsn.tsn_shared.views import VIEWS
else:  # hidden from type checkers, which would take every misspelling for a name that loads on first use
    _offered, __dir__ = on_first_use(
        __name__,
        {
            "tsn.pipeline.extract.run": ["extract_frames"],
            "tsn.pipeline.loading.loader": ["Batch", "ClipLoader", "EvalLoader", "train_clips"],
            "tsn.pipeline.loading.pixels": ["Pixels"],
            "tsn.pipeline.loading.reader": ["FrameReader"],
            "tsn.pipeline.loading.schedule": ["EvalSchedule"],
            "tsn.pipeline.splits.build": ["build_splits"],
            "tsn.train.answers.predictor": ["Predictor"],
            "tsn.tsn_shared.errors": ["DataError", "PartialError", "SettingsError", "StoppedError", "TsnError"],
            "tsn.tsn_shared.settings": [
                *("DataSettings", "ExtractSettings", "LoaderSettings", "ScoreSettings"),
                *("SplitScoreSettings", "SplitsSettings", "TrainSettings"),
            ],
            "tsn.tsn_shared.shard_file": ["Shard"],
            "tsn.tsn_shared.shards": ["find_shards"],
            "tsn.tsn_shared.splits": ["Split", "open_split"],
            "tsn.tsn_shared.views": ["VIEWS"],
        },
    )

    def __getattr__(name):
        if name == "__version__":  # read when it is asked for, of what is installed
            from importlib.metadata import version

            return version(__name__)
        return _offered(name)


__all__ = [
    "VIEWS",
    "Batch",
    "ClipLoader",
    "DataError",
    "DataSettings",
    "EvalLoader",
    "EvalSchedule",
    "ExtractSettings",
    "FrameReader",
    "LoaderSettings",
    "PartialError",
    "Pixels",
    "Predictor",
    "ScoreSettings",
    "SettingsError",
    "Shard",
    "Split",
    "SplitScoreSettings",
    "SplitsSettings",
    "StoppedError",
    "TrainSettings",
    "TsnError",
    "build_splits",
    "extract_frames",
    "find_shards",
    "open_split",
    "train_clips",
]
