"""Fixtures and marks for all tests."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from tsn.tsn_shared.console import speaking

# no test is timed, and the same tree gives the same answer
settings.register_profile("tsn", deadline=None, derandomize=True)
settings.load_profile("tsn")

# a shell's background jobs ignore Ctrl-C and hand that on to the commands that tests interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def spoken() -> Iterator[None]:
    """Let tests that call functions of the library hear what a command would print."""
    with speaking():
        yield


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A small data set, extracted and split: 3 classes, 4 groups of 2 clips, 1 group in 4 tests (18 train, 6 test)."""

    videos: Path
    annotations: Path
    frames: Path
    splits: Path


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Make the small data set once for all tests; they only read it."""
    from tsn.pipeline.extract.run import extract_frames
    from tsn.pipeline.splits.build import build_splits
    from tsn.pipeline.synthetic import CLASSES, LISTS, VIDEOS, make_dataset
    from tsn.tsn_shared.settings import ExtractSettings, SplitsSettings

    folder = tmp_path_factory.mktemp("dataset")
    made = Dataset(
        videos=folder / VIDEOS, annotations=folder / LISTS, frames=folder / "frames", splits=folder / "splits"
    )
    make_dataset(folder, classes=CLASSES[:3], groups=4, clips=2, frames=(6, 10))
    extract_frames(made.videos, ExtractSettings(out=made.frames, videos_per_shard=8))
    build_splits(made.annotations, SplitsSettings(frames=made.frames, out=made.splits))
    return made


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite on two processes, a file's tests on one; what is chosen of it starts sooner on one.

    Only where pytest-xdist is there and nobody asked for a number of processes.
    """
    chosen = config.option.markexpr != "not slow" or config.option.keyword
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen
    if whole and getattr(config.option, "numprocesses", 0) is None and not hasattr(config, "workerinput"):
        config.option.numprocesses, config.option.dist = 2, "loadfile"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none, unless TSN_REQUIRE_CUDA=1 says that there must be one."""
    marked = [item for item in items if item.get_closest_marker("needs_cuda")]
    if not marked or os.environ.get("TSN_REQUIRE_CUDA") == "1":
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device; TSN_REQUIRE_CUDA=1 makes this a failure"))
