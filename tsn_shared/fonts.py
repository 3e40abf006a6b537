"""Fonts for the letters of a picture: matplotlib's own for Latin, Greek and Cyrillic, the machine's for all others.

Which fonts there are is looked up when a picture needs one, never in matplotlib's cache: a font that has just been
installed is found. What no font shows is said once, with what to install.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsn.tsn_shared.console import say

if TYPE_CHECKING:
    from PIL import Image

_OTHER_CUTS = ("bold", "italic", "oblique", "light", "thin", "black", "medium", "serif", "mono", "condensed", "emoji")
"""Words in the name of a font's file that let another go before it."""

_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH")
_NOTO_CJK = "Noto CJK (fonts-noto-cjk in Debian and Ubuntu, google-noto-sans-cjk-fonts in Fedora)"
_told = set[str]()  # remedies


def fonts_for(text: str) -> tuple[Path, ...]:
    """Return the files of the fonts that together show the letters of a text, the usual one first.

    A line says once that no font of this machine shows some, and what to install: boxes are drawn for them.
    """
    fonts, missing = [_usual()], _shown_letters(text) - letters_of(_usual())
    if missing:
        for path in _others():
            if found := missing & letters_of(path):
                fonts.append(path)
                missing -= found
            if not missing:
                break
    if missing:
        east = any(unicodedata.name(letter, "").startswith(_EAST_ASIAN) for letter in missing)
        remedy = _NOTO_CJK if east else "a font that has them"
        if remedy not in _told:
            _told.add(remedy)
            some = "".join(sorted(missing)[:8]) + ("…" if len(missing) > 8 else "")
            say(f"no font here shows {some}: boxes are drawn; install {remedy}")
    return tuple(fonts)


@cache
def letters_of(font: Path) -> frozenset[str]:
    """Return the letters that a font shows; none of what cannot be drawn at any size, or is no font."""
    from matplotlib.ft2font import FT2Font

    try:
        face = FT2Font(str(font))
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(map(chr, face.get_charmap())) if face.scalable else frozenset()


def family_of(font: Path) -> str:
    """Return the name of a font's family, as programs that draw ask for it."""
    from matplotlib.ft2font import FT2Font

    return str(FT2Font(str(font)).family_name)


def runs(text: str, fonts: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return a text in pieces, each with the first of the fonts that shows it; what none shows is the first font's."""

    def font_of(letter: str) -> Path:
        return next((font for font in fonts if letter in letters_of(font)), fonts[0])

    return [(font, "".join(piece)) for font, piece in groupby(text, font_of)]


def use_fonts(texts: Iterable[Any]) -> None:
    """Let matplotlib draw texts, given as its artists, with the fonts that show their letters."""
    from matplotlib.font_manager import fontManager

    texts = list(texts)
    if all(text.get_text().isascii() for text in texts):
        return
    families = []
    for path in fonts_for("".join(text.get_text() for text in texts)):
        families.append(family_of(path))
        if all(entry.fname != str(path) for entry in fontManager.ttflist):
            fontManager.addfont(path)
    for text in texts:
        text.set_fontfamily(families)


def write_on(picture: "Image.Image", corner: tuple[int, int], text: str, *, size: int) -> None:
    """Write a line of black text on a picture of Pillow, its top left corner there, in letters of so many pixels."""
    from PIL import ImageDraw, ImageFont

    pen, (left, top) = ImageDraw.Draw(picture), corner
    for path, piece in runs(text, fonts_for(text)):
        font = ImageFont.truetype(str(path), size)
        pen.text((left, top + size), piece, fill="black", font=font, anchor="ls")
        left += int(font.getlength(piece))


def length_of(text: str, *, size: int) -> int:
    """Return the pixels that a line of text takes."""
    from PIL import ImageFont

    return sum(int(ImageFont.truetype(str(path), size).getlength(piece)) for path, piece in runs(text, fonts_for(text)))


def _shown_letters(text: str) -> set[str]:
    """Return the letters that need a picture of their own: no spaces, and no marks that fonts may do without."""
    return {letter for letter in text if letter.isprintable() and not letter.isspace()}


@cache
def _usual() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _others() -> list[Path]:
    """Return the fonts of this machine, plain ones first."""
    from matplotlib.font_manager import findSystemFonts

    paths = [Path(found) for found in findSystemFonts()]
    return sorted(paths, key=lambda path: (sum(word in path.name.lower() for word in _OTHER_CUTS), str(path)))
