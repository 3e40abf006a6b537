"""GIF: its blocks, walked one by one. Frames are its images; a trailer says that it is whole."""

from tsn.pipeline.extract.declared import MOST_PARTS, DeclaredLength, FileBytes, frames_of_part

_EXTENSION, _IMAGE, _TRAILER = b"\x21", b"\x2c", b"\x3b"


def read_gif(file: FileBytes) -> DeclaredLength:
    """Walk the blocks, and within images and extensions their parts of up to 255 bytes."""
    at = 13 + _table(file.read(10, 1))
    images, inside = 0, False
    for _ in range(MOST_PARTS):
        head = file.read(at, 10)
        if inside:
            length = head[0] if head else 0
            inside = length > 0 or not head
            end = at + 1 + length
        elif head[:1] == _TRAILER:
            return DeclaredLength(size=file.size, end=at + 1, frames=images)
        elif head[:1] == _IMAGE:
            images, inside, end = images + 1, True, at + 11 + _table(head[9:])
        elif head[:1] == _EXTENSION:
            inside, end = True, at + 2
        elif head:  # damaged
            return DeclaredLength(size=file.size, frames=frames_of_part(images, read_to=at, size=file.size, claimed=0))
        else:
            return DeclaredLength(size=file.size, end=at + 1, frames=images or None)
        if end > file.size:
            return DeclaredLength(size=file.size, end=end)
        at = end
    return DeclaredLength(size=file.size)


def _table(flags: bytes) -> int:
    """Return the bytes of the table of colours that a byte of flags announces."""
    return 3 * 2 ** (1 + (flags[0] & 7)) if flags and flags[0] & 0x80 else 0
