import importlib.metadata
import re

import pytest
import torch

from tsn.train import versions as module
from tsn.train.versions import own_version, versions


def test_all_that_decides_what_is_computed_has_a_version() -> None:
    found = versions()
    assert list(found) == ["tsn", "torch", "dali", "hdf5", "ffmpeg", "simplejpeg", "timm"]
    assert found["torch"] == torch.__version__
    assert all(re.search(r"\d", number) for number in found.values())


def test_a_checkout_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    assert own_version() == importlib.metadata.version("tsn")
    monkeypatch.setattr(module, "version", missing)
    assert own_version() == "uninstalled"
