import pytest

from tsn.pipeline.splits.listed import ListedClip


@pytest.mark.parametrize(
    ("path", "name"),
    [("A/v.avi", "A/v"), ("A/v.AVI", "A/v"), ("A/v", "A/v"), ("A/v.1", "A/v.1"), ("A/v.1.webm", "A/v.1")],
)
def test_only_the_suffix_of_a_video_file_is_no_part_of_a_name(path: str, name: str) -> None:
    assert ListedClip(path=path, label=0).name == name
