"""A JPEG's header: of the pictures that other programs write, of what is none, and of anything at all."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.helpers import jpeg_header
from tsn.tsn_shared.jpeg_header import read_header


def saved(mode: str = "RGB", form: str = "JPEG", size: tuple[int, int] = (37, 20), **how: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 120).save(file, form, **how)
    return file.getvalue()


EXIF = Image.Exif()
EXIF[0x0112] = 6  # turned by a quarter: the stored picture keeps its size

PICTURES = [
    saved(),
    saved("L"),
    saved("CMYK"),
    saved(progressive=True),
    saved(quality=1, subsampling=0),
    saved(exif=EXIF, comment=b"\xff\xc0 no frame" * 20, icc_profile=bytes(70_000)),
]


@pytest.mark.parametrize("picture", PICTURES)
def test_the_size_is_that_of_the_picture(picture: bytes) -> None:
    header = read_header(picture)
    assert header is not None
    assert (header.width, header.height) == (37, 20)
    assert read_header(picture[: header.bytes]) == header
    assert read_header(b"\xff\xd8\xff\xff" + picture[2:]) is not None  # fill bytes before a marker


@pytest.mark.parametrize("picture", PICTURES)
def test_a_header_that_is_cut_off_is_none(picture: bytes) -> None:
    header = read_header(picture)
    assert header is not None
    for length in [*range(min(header.bytes, 300)), *range(max(header.bytes - 300, 0), header.bytes)]:
        assert read_header(picture[:length]) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        saved(form="PNG"),
        saved(form="GIF"),
        saved(form="WEBP"),
        b"\xff\xd8\xff\xd9" + jpeg_header()[2:],  # it ends before it begins
        b"\xff\xd8\xff\xda\x00\x02" + jpeg_header()[2:],  # a scan without a frame
        b"\xff\xd8\x00" + jpeg_header()[2:],
        b"\xff\xd8\xff\xe0\x00\x01" + jpeg_header()[2:],  # a segment shorter than its own length
        jpeg_header().replace(b"\xff\xc0", b"\xff\xc3"),  # lossless
        jpeg_header().replace(b"\xff\xc0", b"\xff\xc9"),  # arithmetic code
        jpeg_header().replace(b"\x00\x11\x08", b"\x00\x11\x0c"),  # twelve bits a sample
    ],
)
def test_what_is_no_jpeg_that_all_decode_is_none(content: bytes) -> None:
    assert read_header(content) is None


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff"]))
def test_anything_at_all_is_read_to_an_end(content: bytes, begin: bytes) -> None:
    header = read_header(begin + content)
    assert header is None or header.bytes <= len(begin + content)
