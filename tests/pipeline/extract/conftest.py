"""One second of video in every container, drawn once."""

from pathlib import Path

import pytest

from tests.pipeline.extract.media import KINDS, TEST_PICTURE, ffmpeg


@pytest.fixture(scope="session")
def containers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("containers")
    for name, words in KINDS.items():
        ffmpeg(*TEST_PICTURE, *words, str(folder / name))
    return {name: folder / name for name in KINDS}
