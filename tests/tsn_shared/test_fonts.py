"""Every letter of a name is drawn where a font has it, with or without such a font on this machine."""

from pathlib import Path

import pytest
from PIL import Image

from tsn.tsn_shared import fonts
from tsn.tsn_shared.fonts import fonts_for, length_of, letters_of, runs, use_fonts, write_on

EUROPEAN = "Größe Łódź Άλμα Прыжок"


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say again what an earlier test was told."""
    monkeypatch.setattr(fonts, "_told", set())


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any font."""
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", list)


@pytest.mark.usefixtures("no_fonts")
def test_latin_greek_and_cyrillic_need_no_font_of_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert [path.name for path in fonts_for(EUROPEAN)] == ["DejaVuSans.ttf"]
    assert set(EUROPEAN) - {" "} <= letters_of(fonts_for(EUROPEAN)[0])
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("no_fonts")
def test_without_a_font_one_line_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(fonts_for("写真 Jump")) == len(fonts_for("한국")) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("no font here shows 写真: boxes are drawn; install Noto CJK (fonts-noto-cjk")
    fonts_for("\U00012000")  # cuneiform
    assert capsys.readouterr().err.endswith("install a font that has them\n")


def test_with_a_font_its_letters_are_drawn_and_without_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    found = fonts_for("写真 한국 カナ")
    told = "install Noto CJK" in capsys.readouterr().err
    shown = frozenset[str]().union(*map(letters_of, found))
    assert set("写真한국カナ") <= shown or told


def test_no_font_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "a.ttf").write_bytes(b"no font")
    assert letters_of(tmp_path / "a.ttf") == letters_of(tmp_path / "none.ttf") == frozenset()


def test_a_text_is_drawn_in_runs_of_one_font() -> None:
    usual = fonts_for("a")[0]
    other = usual.with_name("cmr10.ttf")
    assert "ж" not in letters_of(other)
    assert runs("abжж!", [other, usual]) == [(other, "ab"), (usual, "жж"), (other, "!")]
    assert runs("写", [other, usual]) == [(other, "写")]
    assert runs("", [usual]) == []


def test_text_takes_the_room_that_it_says() -> None:
    sheet = Image.new("L", (400, 40), "white")
    write_on(sheet, (5, 5), EUROPEAN, size=14)
    left, top, right, bottom = Image.eval(sheet, lambda grey: 255 - grey).getbbox() or (0, 0, 0, 0)
    assert 5 <= left < 8
    assert abs(right - 5 - length_of(EUROPEAN, size=14)) <= 3
    assert top >= 5
    assert bottom < 28


@pytest.mark.usefixtures("no_fonts")
def test_texts_of_matplotlib_get_the_fonts_together() -> None:
    from matplotlib.text import Text

    texts = [Text(0, 0, "Jump"), Text(0, 0, "Прыжок")]
    use_fonts(texts)
    assert [text.get_fontfamily() for text in texts] == [["DejaVu Sans"]] * 2
