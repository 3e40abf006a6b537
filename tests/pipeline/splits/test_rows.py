from pathlib import Path

import pytest

from tests.helpers import write_list
from tsn.pipeline.splits.rows import Row, read_rows
from tsn.tsn_shared.errors import DataError


def rows(tmp_path: Path, name: str, *lines: str) -> list[Row]:
    return list(read_rows(write_list(tmp_path / name, *lines, end="\n")))


KINETICS = ("label,youtube_id,time_start,time_end,split", "playing guitar,-abc_1,12,22,train")


@pytest.mark.parametrize(
    ("name", "lines", "row"),
    [
        ("a.txt", ("A/v x.avi 3",), Row(1, "A/v x.avi", 3)),
        ("a.txt", ("", "A/v 120 3"), Row(2, "A/v", 3, 120)),
        ("a.txt", ("./A/v\t120\t3",), Row(1, "A/v", 3, 120)),
        ("a.txt", ("A\\v x.avi 3",), Row(1, "A/v x.avi", 3)),  # from Windows
        ("a.csv", ("C:\\data\\A\\v.avi,3",), Row(1, "C:/data/A/v.avi", "3")),
        ("a.txt", ("A/v\\x.avi 3",), Row(1, "A/v\\x.avi", 3)),
        ("a.list", ("A/v.mp4 3",), Row(1, "A/v.mp4", 3)),
        ("a.csv", KINETICS, Row(2, "-abc_1", "playing guitar", None, 12.0, 22.0, "train")),
        ("a.csv", KINETICS[1:], Row(1, "-abc_1", "playing guitar", None, 12.0, 22.0, "train")),
        (
            "a.csv",
            (KINETICS[0] + ",is_cc", KINETICS[1] + ",0"),
            Row(2, "-abc_1", "playing guitar", None, 12, 22, "train"),
        ),
        ("a.csv", ("youtube_id,time_start,time_end,split", "x,1.5,3,test"), Row(2, "x", None, None, 1.5, 3, "test")),
        ("a.csv", ("k/some video 7 3",), Row(1, "k/some video 7", "3")),  # at the last space
        ("a.csv", ("path label", "a, b/v.mp4 3"), Row(2, "a, b/v.mp4", "3")),
        ("a.csv", ("a, b/v.mp4 3",), Row(1, "a, b/v.mp4", "3")),
        ("a.csv", ("path,label", '"a, b/v.mp4",Surf'), Row(2, "a, b/v.mp4", "Surf")),
        ("a.csv", ("Label;Path", "Surf;v"), Row(2, "v", "Surf")),
        (
            "a.json",
            ('{"-ab": {"annotations": {"label": "yoga", "segment": [1, 2.5]}, "subset": "training", "url": "x"}}',),
            Row(1, "-ab", "yoga", None, 1.0, 2.5, "train"),
        ),
        (
            "a.json",
            ('{"database": {"y": {"subset": "validation", "annotations": [{"segment": [0, 3], "label": "yoga"}]}}}',),
            Row(1, "y", "yoga", None, 0.0, 3.0, "val"),
        ),
        ("a.json", ('{"x": {"subset": "testing", "annotations": []}}',), Row(1, "x", None, subset="test")),
        ("a.csv", ("", "34870;Drumming Fingers"), Row(2, "34870", "Drumming Fingers")),
        ("a.csv", ("34870",), Row(1, "34870", None)),
        ("a.csv", ("video_id,label,frames,label_id", "7,Swiping Left,37,3"), Row(2, "7", "Swiping Left", 37)),
        ("a.csv", ("A/v,120,3",), Row(1, "A/v", "3", 120)),
        ("a.tsv", ("A/v\tSurf",), Row(1, "A/v", "Surf")),
        (
            "a.json",
            ('[{"id": "7", "label": "a cup", "template": "Holding [something]"}]',),
            Row(1, "7", "Holding something"),
        ),
        ("a.json", ('[{"id": "7"}]',), Row(1, "7", None)),
    ],
)
def test_a_line_is_read_by_the_form_of_its_list(tmp_path: Path, name: str, lines: tuple[str, ...], row: Row) -> None:
    assert rows(tmp_path, name, *lines) == [row]


@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        ("a.txt", ("path label",), r"a.txt, line 1: 'path label': this line is a header, it seems: delete it"),
        ("a.txt", ("A/v.avi 0", "A/v.avi,0"), r"line 2: 'A/v.avi,0': '0' after ',': end the file's name in .csv"),
        (
            "a.txt",
            ("A/v.avi Surf",),
            r"line 1: 'A/v.avi Surf': 'Surf' is no number from 0: names of classes for labels go",
        ),
        ("a.txt", ("3 A/v.avi",), r"line 1: '3 A/v.avi': the label stands before the path, it seems: change the two"),
        ("a.txt", ("A/some v.avi",), r"line 1: 'A/some v.avi': no label after the path"),
        ("a.txt", ("A/v -1",), r"line 1: 'A/v -1': '-1' is no number from 0"),
        (
            "a.csv",
            ("movie,genre", "A/v.avi,Surf"),
            r"line 1: \['movie', 'genre'\]: a header, it seems, .*: name them path",
        ),
        ("a.txt", ("Surf A/v.avi",), r"line 1: 'Surf A/v.avi': the label stands before the path, it seems"),
        ("a.csv", ("Surf,A/v.avi",), r"line 1: \['Surf', 'A/v.avi'\]: the label stands before the path"),
        ("a.csv", ("3,A/v.avi",), r"line 1: \['3', 'A/v.avi'\]: the label stands before the path"),
        ("a.csv", ("path,label", "A/v.avi,Surf", "A/w.avi"), r"line 3: \['A/w.avi'\]: 1 fields, where 2 are needed"),
        ("a.csv", ("a,b,c,d",), r"line 1: .*: 4 fields and no header: name them in a first line, as `path,label`"),
        ("a.csv", ("label,split", "Surf,train"), r"none of the columns 'label', 'split' names the videos"),
        ("a.csv", (KINETICS[0], "x,y,z,22,train"), r"line 2: .*'z' is no time, number or subset"),
        ("a.csv", (KINETICS[0], "x,y,nan,22,train"), r"line 2: .* is no time, number or subset"),
        ("a.csv", (KINETICS[0], "x,y,1,22,holdout"), r"line 2: .*'holdout' is no time, number or subset"),
        ("a.csv", ("path,label", ",Surf"), "line 2: .*: no path of a video"),
        ("a.csv", ("path,label", '"A/v.avi,Surf', "A/w.avi,Surf"), "is a quotation mark not closed"),
        ("a.csv", ("path,label", '"' + "x\n" * 99_999), "is a quotation mark not closed"),
        ("a.json", ('{"id": 3}',), "a.json is no list of videos: what is read is"),
        ("a.json", ('{"x": {"label": "yoga"}}',), "a.json is no list of videos: what is read is"),
        ("a.json", ('{"x": {"annotations": {"segment": 3}, "subset": "test"}}',), "a.json is no list of videos"),
        ("a.json", ('{"x": {"annotations": {"segment": [2, 1e9]}, "subset": "test"}}',), "entry 1: .*is no time"),
        ("a.json", ("[[[",), "a.json cannot be read as JSON"),
        ("a.json", ("[" * 99_999,), "a.json cannot be read as JSON"),
    ],
)
def test_a_wrong_line_is_shown_with_what_is_wrong_in_it(
    tmp_path: Path, name: str, lines: tuple[str, ...], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        rows(tmp_path, name, *lines)
