"""Ogg: packets that lie on several pages, headers and hidden pictures among them, and a last page that never came."""

from pathlib import Path

import pytest

from tests.pipeline.extract.media import FRAMES, declared_by

FIRST, CONTINUED, LAST = 2, 1, 4


def page(*packets: bytes, flags: int = 0, stream: int = 1, goes_on: bool = False) -> bytes:
    lengths = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    lengths = lengths[:-1] if goes_on else lengths
    head = b"OggS\0" + bytes([flags]) + bytes(8) + stream.to_bytes(4) + bytes(8) + bytes([len(lengths)])
    return head + lengths + b"".join(packets)


THEORA = page(b"\x80theora....", flags=FIRST) + page(b"\x81theora", b"\x82theora")
SOUND = page(b"\x01vorbis...", flags=FIRST, stream=7)


@pytest.mark.parametrize(
    ("pages", "frames"),
    [
        ([THEORA, page(b"\x00a", b"\x40b"), page(b"c" * 600, flags=LAST)], 3),
        ([THEORA, page(b"a" * 510, goes_on=True), page(b"aa", b"b", flags=LAST | CONTINUED)], 2),
        ([THEORA, page(b"", b"a", b"", flags=LAST)], 1),  # an empty packet shows the picture before it again
        ([SOUND, THEORA, page(b"a", stream=7), page(b"a", flags=LAST), page(b"", stream=7, flags=LAST)], 1),
        ([page(b"OVP80\1...", flags=FIRST), page(b"OVP80\2"), page(b"\x10a", b"\x01b", b"\x11c", flags=LAST)], 2),
        ([page(b"\1video\0\0", flags=FIRST), page(b"\3comment"), page(b"\x08a", b"\x00b", flags=LAST)], 2),
        ([SOUND, page(b"a", stream=7, flags=LAST)], None),
    ],
)
def test_the_frames_of_an_ogg_are_the_packets_of_its_video(
    tmp_path: Path, pages: list[bytes], frames: int | None
) -> None:
    found = declared_by(b"".join(pages), tmp_path / "x.ogv")
    assert (found.frames, found.missing, found.remark) == (frames, 0, "")


def test_a_cut_between_two_pages_shows_by_the_last_page_that_is_missing(tmp_path: Path) -> None:
    found = declared_by(THEORA + page(b"a") + page(b"b"), tmp_path / "x.ogv")
    assert (found.frames, found.missing, found.remark) == (2, 0, "its last page is missing")


def test_a_cut_after_the_last_page_of_the_video_misses_no_frame(tmp_path: Path) -> None:
    sound = page(b"sound" * 20, stream=7, flags=LAST)
    data = SOUND + THEORA + page(b"a", flags=LAST) + sound
    found = declared_by(data[:-9], tmp_path / "x.ogv")
    assert (found.frames, found.missing) == (1, 9)
    found = declared_by(data[: -len(sound) + 3], tmp_path / "x.ogv")
    assert (found.frames, found.missing) == (1, 24)


def test_pages_that_never_came_held_as_many_frames_a_byte(tmp_path: Path) -> None:
    pages = page(b"a" * 90) * 20
    data = THEORA + pages + bytes(len(pages))
    assert abs((declared_by(data, tmp_path / "x.ogv").frames or 0) - 40) <= 1


def test_pictures_that_are_never_shown_are_not_counted(containers: dict[str, Path], tmp_path: Path) -> None:
    data = containers["vp8.ogv"].read_bytes()
    assert declared_by(data, tmp_path / "x").frames == FRAMES
