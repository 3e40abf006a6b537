from pathlib import Path

import pytest

from tsn.tsn_shared.nearest import absent, did_you_mean, nearest


def test_the_nearest_name_comes_first() -> None:
    names = ["resnet18", "resnet50", "vgg16"]
    assert nearest("resnet5", names, most=2) == ["resnet50", "resnet18"]
    assert nearest("zzz", names) == []
    assert did_you_mean("vgg", names) == " (did you mean vgg16?)"
    assert did_you_mean("zzz", names) == ""


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("runs/frist", "runs/first"),
        ("rnus/first/best.pt", "runs/first/best.pt"),
        ("runs/first/bset.pt", "runs/first/best.pt"),
        ("rnus/first/other.pt", None),  # the near folder does not hold it
        ("runs/first/last.pt", None),
        ("something", None),
        ("runs/first/best.pt/more", None),
    ],
)
def test_a_path_that_is_not_there_is_told_with_the_one_that_was_meant(
    tmp_path: Path, asked: str, meant: str | None
) -> None:
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "best.pt").touch()
    words = f" (did you mean {tmp_path / meant}?)" if meant is not None else ""
    assert absent(tmp_path / asked) == f"{tmp_path / asked} does not exist{words}"


def test_a_link_to_nothing_and_a_relative_path_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("nowhere")
    Path("runs").mkdir()
    assert absent(Path("link")) == "link does not exist"
    assert absent(Path("runz")) == "runz does not exist (did you mean runs?)"
